from __future__ import annotations

import pickle

from mmfs.errors import MediaError, MmfsError, PinError


def test_an_error_says_what_where_and_the_mend() -> None:
    error = PinError("version 17 of clip_embeddings is gone", where="pin exp-42", mend="pin again at >= 21")
    assert str(error) == "version 17 of clip_embeddings is gone [pin exp-42]; pin again at >= 21"


def test_errors_cross_process_borders_whole() -> None:
    error = pickle.loads(pickle.dumps(MediaError("cut off", where="a.mp4", mend="copy it again")))
    assert isinstance(error, MmfsError)
    assert (error.what, error.where, error.mend) == ("cut off", "a.mp4", "copy it again")
