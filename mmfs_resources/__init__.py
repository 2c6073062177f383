"""What assets are given to work with: thin Dagster resources around the library. One a file."""

from mmfs_resources.gpu_lease import GpuLeaseResource
from mmfs_resources.media_source import MediaSourceResource
from mmfs_resources.models import ModelResource
from mmfs_resources.qdrant import QdrantResource
from mmfs_resources.store import StoreResource
from mmfs_resources.training_loader import TrainingLoaderResource
from mmfs_resources.webhook import WebhookResource

__all__ = [
    "GpuLeaseResource",
    "MediaSourceResource",
    "ModelResource",
    "QdrantResource",
    "StoreResource",
    "TrainingLoaderResource",
    "WebhookResource",
]
