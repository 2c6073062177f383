"""The facade that people use: ``mmfs.open_store()`` gives a FeatureStore."""

from mmfs.client.facade import FeatureStore, open_store
from mmfs.client.subset import Subset
from mmfs.client.table_info import TableInfo
from mmfs.client.table_view import TableView

__all__ = ["FeatureStore", "Subset", "TableInfo", "TableView", "open_store"]
