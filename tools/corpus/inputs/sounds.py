"""Sounds: synthetic speech and music, and the features and states that models of sound take."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from qgraph.tools.corpus.inputs import Batches, maker

FORMANTS = {"a": (730, 1090, 2440), "e": (530, 1840, 2480), "i": (270, 2290, 3010), "o": (570, 840, 2410), "u": (300, 870, 2240)}
"""Resonances of vowels in Hz (Peterson and Barney 1952)."""
Step = dict[str, np.ndarray]


def speech(rng: np.random.Generator, seconds: float, rate: int) -> np.ndarray:
    """Syllables with pauses, float32 from -1 to 1: harmonics of a gliding pitch through formants, and hisses between them."""
    count = int(seconds * rate)
    sound = np.zeros(count)
    at = int(rng.uniform(0, 0.2) * rate)
    pitch = rng.uniform(90, 240)
    while at < count:
        length = int(rng.uniform(0.12, 0.35) * rate)
        sound[at : at + length] += _syllable(rng, length, rate, pitch)[: max(0, count - at)]
        at += length + int(rng.choice([0.02, 0.05, 0.35], p=[0.5, 0.35, 0.15]) * rate)
    sound += rng.normal(0, 10 ** rng.uniform(-4, -2), count)
    return (sound / np.abs(sound).max() * rng.uniform(0.1, 0.9)).astype(np.float32)


def _syllable(rng: np.random.Generator, length: int, rate: int, pitch: float) -> np.ndarray:
    time = np.arange(length) / rate
    formants = FORMANTS[str(rng.choice(list(FORMANTS)))]
    glide = pitch * (1 + rng.uniform(-0.25, 0.25) * time / time[-1])
    phase = 2 * np.pi * np.cumsum(glide) / rate
    harmonics = np.arange(1, int(min(5000, rate / 2) / pitch))
    strength = sum(np.exp(-(((harmonics * pitch - f) / (60 + f / 15)) ** 2)) / (1 + i) for i, f in enumerate(formants))
    voice = np.sum(strength[:, None] * np.sin(np.outer(harmonics, phase)), axis=0)
    hiss = np.diff(rng.normal(0, 1, length + 1)) * np.exp(-time / 0.03) * rng.choice([0.0, 0.4])
    return (voice / 4 + hiss) * np.sin(np.pi * np.arange(length) / length) ** 0.5


def melody(rng: np.random.Generator, seconds: float, rate: int) -> np.ndarray:
    """Plucked tones and chords of a scale, float32 from -1 to 1."""
    count = int(seconds * rate)
    sound = np.zeros(count)
    at = 0
    while at < count:
        length = int(rng.uniform(0.3, 0.9) * rate)
        time = np.arange(length) / rate
        for _ in range(int(rng.integers(1, 4))):
            pitch = 110 * 2 ** (int(rng.choice([0, 2, 4, 5, 7, 9, 11])) / 12 + int(rng.integers(0, 3)))
            tone = sum(np.sin(2 * np.pi * pitch * k * time) / k**1.5 for k in range(1, 7))
            sound[at : at + length] += (tone * np.exp(-3 * time))[: max(0, count - at)]
        at += int(length * rng.uniform(0.4, 1.0))
    return (sound / np.abs(sound).max() * rng.uniform(0.2, 0.9)).astype(np.float32)


def spectrum(sound: np.ndarray, size: int, hop: int) -> np.ndarray:
    """Magnitudes [frames, size // 2 + 1] through a Hamming window."""
    frames = np.lib.stride_tricks.sliding_window_view(sound, size)[::hop]
    return np.abs(np.fft.rfft(frames * np.hamming(size + 1)[:-1]))


def mel(bands: int, size: int, rate: int) -> np.ndarray:
    """Triangles [size // 2 + 1, bands] evenly spaced on the mel scale, each of area 1."""
    edges = 700 * (10 ** (np.linspace(0, 2595 * np.log10(1 + rate / 1400), bands + 2) / 2595) - 1)
    bins = np.linspace(0, rate / 2, size // 2 + 1)[:, None]
    rise, fall = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2]), (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    return np.maximum(0, np.minimum(rise, fall)) * 2 / (edges[2:] - edges[:-2])


def steps(model: Path, feeds: Iterator[Step], states: dict[str, str], keep: int) -> Batches:
    """The inputs of every ``keep``-th step of a recurrent model that runs on ``feeds``.

    ``states`` names for each input the output that becomes it in the next step.
    """
    import onnxruntime

    engine = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    names = [output.name for output in engine.get_outputs()]
    state: Step = {}
    for number, feed in enumerate(feeds):
        batch = {**feed, **state}
        if number % keep == keep - 1:
            yield batch
        found = dict(zip(names, engine.run(None, batch), strict=True))
        state = {name: found[output] for name, output in states.items()}


def _chunks(rng: np.random.Generator, context: int) -> Iterator[np.ndarray]:
    """Pieces of 512 samples of speech at 16 kHz with ``context`` samples in front of them, [1, context + 512]."""
    sound = np.concatenate([speech(rng, 4, 16000) for _ in range(5)])
    for start in range(context, len(sound) - 512, 512):
        yield sound[None, start - context : start + 512]


@maker
def voice(model: Path, rng: np.random.Generator) -> Batches:
    """Steps of a voice activity net, with the states that it has reached."""
    start: Step = {"state": np.zeros((2, 1, 128), np.float32), "sr": np.array(16000, np.int64)}
    return steps(model, ({**start, "input": chunk} for chunk in _chunks(rng, 64)), {"state": "stateN"}, 37)


@maker
def voice_hc(model: Path, rng: np.random.Generator) -> Batches:
    """The same for the older net, whose states are h and c."""
    zero = np.zeros((2, 1, 64), np.float32)
    start: Step = {"h": zero, "c": zero, "sr": np.array(16000, np.int64)}
    return steps(model, ({**start, "input": chunk} for chunk in _chunks(rng, 0)), {"h": "hn", "c": "cn"}, 37)


@maker
def music(model: Path, rng: np.random.Generator) -> Batches:
    """Two seconds of music at 22,050 Hz."""
    return ({"serving_default_input_2:0": melody(rng, 2, 22050)[None, :43844, None]} for _ in itertools.count())


@maker
def clips(model: Path, rng: np.random.Generator) -> Batches:
    """Nine seconds of speech at 16 kHz, less and more noisy."""
    return ({"input_1": speech(rng, 9.01, 16000)[None, :144160]} for _ in itertools.count())


@maker
def spectra(model: Path, rng: np.random.Generator) -> Batches:
    """Logarithms of the power of speech, where packets are lost, and a vector that stands for a listener."""
    while True:
        sound = speech(rng, rng.uniform(4, 6), 16000)
        for start in rng.integers(0, len(sound) - 800, 4):
            sound[start : start + 800] = 0
        power = np.log(spectrum(sound, 512, 256) ** 2 + 1e-12) / 20
        yield {
            "degraded_audio": power.astype(np.float32)[None, None],
            "rater_embed": rng.standard_normal((1, 64), np.float32),
        }


@maker
def echoes(model: Path, rng: np.random.Generator) -> Batches:
    """Mel spectrograms of what a loudspeaker plays, what a microphone hears and what is left after the echo is cancelled."""
    bank = mel(160, 1536, 48000)
    while True:
        far, near = speech(rng, 4, 48000), speech(rng, 4, 48000)
        echo = np.roll(far, 4800) * rng.uniform(0.1, 0.6)
        rows = []
        for sound in (far, near + echo, near + rng.uniform(0, 0.5) * echo):
            decibels = 10 * np.log10(np.maximum(spectrum(sound, 1536, 768) ** 2 @ bank, 1e-10))
            rows.append(np.maximum(decibels - decibels.max(), -80) / 40 + 1)
        ends = np.repeat([1.0, 0.0], 20)[:, None] * np.ones((1, 160))  # marks that both sides may talk
        stacked = np.stack([np.concatenate([row, ends]) for row in rows])
        yield {"input": stacked.astype(np.float32)[None], "h0": np.zeros((4, 1, 96), np.float32)}


@maker
def waveforms(model: Path, rng: np.random.Generator) -> Batches:
    """Two seconds of speech, 16 kHz."""
    while True:
        sound = speech(rng, rng.uniform(1.5, 2.5), 16000)[None]
        yield {"waveform": sound, "waveform_lengths": np.array([sound.shape[1]], np.int64)}


@maker
def audio(model: Path, rng: np.random.Generator) -> Batches:
    """A second and a half of speech in the range of int16."""
    return ({"input": speech(rng, 1.5, 16000)[None] * 32767} for _ in itertools.count())


def _run(model: Path, feed: Step) -> np.ndarray:
    import onnxruntime

    (found,) = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"]).run(None, feed)
    return found


def _windows(folder: Path, rng: np.random.Generator, seconds: float) -> np.ndarray:
    """Spectrogram windows [n, 76, 32, 1], 8 frames apart, by the net that makes them."""
    feed = {"input": speech(rng, seconds, 16000)[None] * 32767}
    frames = _run(folder / "melspectrogram.onnx", feed)[0, 0] / 10 + 2
    return np.stack([frames[start : start + 76] for start in range(0, len(frames) - 76, 8)])[..., None].astype(np.float32)


@maker
def spectrogram_windows(model: Path, rng: np.random.Generator) -> Batches:
    """Eight windows of 76 frames of a spectrogram."""
    return ({"input_1": _windows(model.parent, rng, 2)[:8]} for _ in itertools.count())


@maker
def feature_windows(model: Path, rng: np.random.Generator) -> Batches:
    """Sixteen vectors of features, by the net that makes them."""
    while True:
        windows = _windows(model.parent, rng, 2.5)[:16]
        yield {"onnx::Flatten_0": _run(model.parent / "embedding_model.onnx", {"input_1": windows}).reshape(1, 16, 96)}


@maker
def filter_steps(model: Path, rng: np.random.Generator) -> Batches:
    """Steps of a net that separates one voice: four stacked frames of 128 mel bands, a voice's vector and the states reached."""
    bank = mel(128, 1200, 16000)
    sound = speech(rng, 20, 16000) + speech(rng, 20, 16000)
    frames = np.log(spectrum(sound, 1200, 160) ** 2 @ bank + 1e-5).astype(np.float32)
    vector = rng.standard_normal((1, 256)).astype(np.float32)
    zero = np.zeros((3, 1, 512), np.float32)
    start = {"dvec": vector / np.linalg.norm(vector), "h0": zero, "c0": zero}
    feeds = ({**start, "stacked_logmel": frames[None, None, i : i + 4].reshape(1, 1, 512)} for i in range(len(frames) - 4))
    return steps(model, feeds, {"h0": "hN", "c0": "cN"}, 97)


@maker
def brain_waves(model: Path, rng: np.random.Generator) -> Batches:
    """Spectrograms of two channels of synthetic EEG, standardised: rhythms over 1/f noise, with bursts; [2, 100, 299]."""
    rate = 500
    while True:
        rows = []
        for _ in range(2):
            count = 150 * rate
            pink = np.cumsum(rng.normal(0, 1, count))
            pink -= np.convolve(pink, np.ones(rate) / rate, "same")
            time = np.arange(count) / rate
            rhythm = sum(rng.uniform(5, 40) * np.sin(2 * np.pi * f * time + rng.uniform(0, 6)) for f in (2.5, 10, 21))
            burst = 80 * np.sin(2 * np.pi * 3 * time) ** 5 * (np.abs(time - rng.uniform(30, 120)) < rng.uniform(5, 20))
            frames = spectrum(pink + rhythm + burst, rate, rate // 2)[:299, :100]
            decibels = np.log10(frames**2 + 1e-3)
            rows.append(((decibels - decibels.mean()) / decibels.std()).T)
        yield {"x": np.stack(rows).astype(np.float32)}
