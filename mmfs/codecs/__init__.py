"""How heavy values become bytes in packs and back. All of it releases the GIL, so it scales with threads."""

from mmfs.codecs.array16 import decode_array16, encode_array16
from mmfs.codecs.depth16 import DEPTH16_TOP, decode_depth16, depth16_scale, encode_depth16
from mmfs.codecs.flac import decode_flac, encode_flac
from mmfs.codecs.jpeg import decode_jpeg, encode_jpeg, jpeg_size

__all__ = [
    "DEPTH16_TOP",
    "decode_array16",
    "decode_depth16",
    "decode_flac",
    "decode_jpeg",
    "depth16_scale",
    "encode_array16",
    "encode_depth16",
    "encode_flac",
    "encode_jpeg",
    "jpeg_size",
]
