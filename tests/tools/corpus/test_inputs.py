"""Inputs are what models of the kind get, the same ones in every run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from qgraph.tools.corpus.inputs import CALIBRATION, EVALUATION, batches, pictures, sounds, tables, tokens

NOWHERE = Path("nowhere.onnx")
ALONE = ("text_lines", "text_directions", "photos_320", "captchas", "music", "audio", "file_bytes", "arabic_text", "letters")
ALONE += ("phoneme_ids", "table", "traces", "protein", "molecules", "blobs", "waveforms")
"""Makers that do not look at a model."""


@pytest.mark.parametrize("name", ALONE)
def test_same_in_every_run_and_different_for_judging(name: str) -> None:
    calibration, judged = batches(name, NOWHERE)
    again, _ = batches(name, NOWHERE)
    assert (len(calibration), len(judged)) == (CALIBRATION, EVALUATION)
    for one, two in zip(calibration, again, strict=True):
        for key, array in one.items():
            np.testing.assert_array_equal(array, two[key])
            assert array.dtype in (np.float32, np.int64, np.int32, np.bool_)
            assert np.isfinite(array).all()
    assert any(not np.array_equal(calibration[0][key], judged[0][key]) for key in calibration[0])


def test_speech_has_syllables_and_pauses() -> None:
    sound = sounds.speech(np.random.default_rng(0), 3, 16000)
    assert sound.shape == (48000,)
    assert 0.05 < np.abs(sound).max() <= 1
    power = np.square(sound.reshape(-1, 160)).mean(1)
    assert np.quantile(power, 0.9) > 100 * np.quantile(power, 0.05)


def test_spectrum_of_a_tone_has_its_peak_there() -> None:
    tone = np.sin(2 * np.pi * 1000 * np.arange(4096) / 16000)
    assert (sounds.spectrum(tone, 512, 256).argmax(1) == 32).all()  # 1000 Hz at 31.25 Hz a bin


def test_mel_bands_follow_each_other() -> None:
    bank = sounds.mel(20, 512, 16000)
    assert bank.shape == (257, 20)
    assert (np.diff(bank.argmax(0)) >= 0).all()


def test_text_is_on_the_picture() -> None:
    page = np.full((48, 200, 3), 255.0)
    written = pictures.write_text(page, "words", (5, 5), 30, np.random.default_rng(0))
    assert (written < 100).any()
    assert (page == 255).all()


def test_padded() -> None:
    ids, empty = tokens.padded([[1, 2, 3], [4]])
    assert ids.tolist() == [[1, 2, 3], [4, 0, 0]]
    assert empty.tolist() == [[False] * 3, [False, True, True]]


def test_edges_join_atoms_that_are_near() -> None:
    batch = next(tables.protein(NOWHERE, np.random.default_rng(0)))
    start, end = batch["pos"][batch["edge_index"][0]], batch["pos"][batch["edge_index"][1]]
    np.testing.assert_allclose(np.linalg.norm(start - end, axis=1), batch["edge_dist"], rtol=1e-4)
    assert batch["edge_dist"].max() < 5
