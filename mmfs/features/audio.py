"""Windows of sound as log-mel spectrograms, and what can be told of them in one number."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from mmfs.errors import FeatureError
from mmfs.features.feature import Blob, Feature, Scalar, feature
from mmfs.settings import AudioFeaturesConfig

if TYPE_CHECKING:
    from torch import Tensor

#: Blocks whose loudness decides about silence: long enough for a period of the lowest tone that is heard.
_BLOCK_S = 0.05
#: The quietest that 16 bits can tell from silence is about -96; silence itself must stay a number.
_FLOOR_DBFS = -120.0


@feature(table="audio_features", grain="audio_window", inputs=["audio_windows.audio", "audio_windows.sample_rate_hz"])
class AudioFeatures(Feature):
    """Log-mel spectrogram, loudness, peak and silence of a window of sound.

    The spectrogram is that of transformers' ``WhisperFeatureExtractor``, of the mean of all channels: the window is
    padded with silence to ``chunk_s``, so that all have one shape, and shorter ones say in ``duration_s`` where the
    sound ends. Bands lie between 0 and 8 kHz. Loudness counts all channels.
    """

    config: AudioFeaturesConfig
    section = "audio_features"
    needs_gpu = False
    outputs = {
        "log_mel": Blob("array16", "Log-mel spectrogram [mels, columns] as Whisper takes it, low bands first."),
        "duration_s": Scalar("float32", "Length of the window's sound.", "seconds"),
        "loudness_dbfs": Scalar(
            "float32", "Root mean square; 0 is a square wave of full scale, -3 a sine, -120 silence.", "dBFS"
        ),
        "peak_dbfs": Scalar("float32", "Largest sample; 0 is full scale, -120 silence.", "dBFS"),
        "silence_share": Scalar("float32", "Share of the sound in blocks of 50 ms quieter than the setting, 0 to 1."),
    }

    _extractors: dict[int, Any]

    def setup(self, device: str) -> None:
        """Nothing to load: extractors are made for the sample rates that come."""
        self._extractors = {}

    def prepare(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Measure sound, float32 ``[b, C, T]``, and make it one channel of ``chunk_s``, float32 ``[b, N]``.

        Raises:
            FeatureError: The windows are longer than ``chunk_s``, or of several sample rates.
        """
        import torch.nn.functional as nn

        audio, rate = batch["audio_windows.audio"], _one_rate(batch["audio_windows.sample_rate_hz"])
        rows, _, length = audio.shape
        room = self.config.chunk_s * rate
        if length > room:
            raise FeatureError(
                f"windows of {length / rate:g} s are longer than spectrograms of {self.config.chunk_s} s",
                where="MMFS_AUDIO_FEATURES__CHUNK_S",
                mend=f"set it to {math.ceil(length / rate)}",
            )
        power = audio.square().mean(1)
        return {
            "sound": nn.pad(audio.mean(1), (0, room - length)),
            "rate": [rate] * rows,
            "duration_s": audio.new_full((rows,), length / rate),
            "loudness_dbfs": decibels(power.mean(1)),
            "peak_dbfs": decibels(audio.square().amax((1, 2))),
            "silence_share": silent_share(power, round(_BLOCK_S * rate), self.config.silence_dbfs),
        }

    def compute(self, batch: dict[str, Any]) -> dict[str, Any]:
        """All outputs of sound ``[B, N]``; spectrograms are float32 ``[B, mels, columns]``."""
        # Sounds of one length in samples and one in seconds have one rate.
        rate = batch["rate"][0]
        found = self._extractor(rate)(batch["sound"].cpu().numpy(), sampling_rate=rate, return_tensors="pt")
        measured = {name: batch[name] for name in self.outputs if name != "log_mel"}
        return {"log_mel": found["input_features"], **measured}

    def _extractor(self, rate: int) -> Any:
        from transformers import WhisperFeatureExtractor

        if rate not in self._extractors:
            self._extractors[rate] = WhisperFeatureExtractor(  # type: ignore[no-untyped-call]
                feature_size=self.config.mels,
                sampling_rate=rate,
                hop_length=max(1, round(self.config.hop_ms * rate / 1000)),
                n_fft=max(1, round(self.config.fft_ms * rate / 1000)),
                chunk_length=self.config.chunk_s,
            )
        return self._extractors[rate]


def decibels(power: Tensor) -> Tensor:
    """Mean squares of samples of -1 to 1 in dB below full scale; not below -120."""
    return power.clamp_min(10 ** (_FLOOR_DBFS / 10)).log10() * 10


def silent_share(power: Tensor, block: int, below_dbfs: float) -> Tensor:
    """Share of the samples that lie in blocks quieter than a level.

    Args:
        power: Squares of samples ``[B, T]``.
        block: Samples in a block; the last one may be shorter.

    Returns:
        ``[B]``, 0 to 1.
    """
    import torch

    whole = power.shape[1] // block * block
    parts = [power[:, :whole].reshape(len(power), -1, block).mean(2)] if whole else []
    lengths = [block] * (whole // block)
    if whole < power.shape[1]:
        parts.append(power[:, whole:].mean(1, keepdim=True))
        lengths.append(power.shape[1] - whole)
    is_silent = decibels(torch.cat(parts, 1)) < below_dbfs
    return (is_silent * torch.tensor(lengths, device=power.device)).sum(1) / power.shape[1]


def _one_rate(rates: list[int]) -> int:
    if len(set(rates)) > 1:
        raise FeatureError(
            f"windows of {min(rates)} and of {max(rates)} Hz in one shard",
            where="audio_windows",
            mend="materialize audio_windows again",
        )
    return rates[0]
