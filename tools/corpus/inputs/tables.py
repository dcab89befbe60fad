"""Tables, traces over time and graphs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from qgraph.tools.corpus.inputs import Batches, maker


@maker
def table(model: Path, rng: np.random.Generator) -> Batches:
    """Settings of a support vector machine as the net's scaler expects them: a penalty, a width, and codes; 32 rows a batch."""
    while True:
        penalty = 10 ** rng.uniform(-1, 2, 32)
        columns = [penalty, rng.uniform(0, 3.5, 32), *rng.integers(0, 2, (2, 32)), rng.integers(0, 9, 32), rng.random(32)]
        yield {"input": np.column_stack(columns).astype(np.float32)}


@maker
def traces(model: Path, rng: np.random.Generator) -> Batches:
    """Four minutes of a crossing for eight pairs of a detector and a phase: cars wait on red, leave on green; [8, 15, 240]."""
    while True:
        rows = []
        for _ in range(8):
            green = np.repeat(rng.random(30) < 0.4, 8).astype(np.float32)
            edges = np.abs(np.diff(green, prepend=0))
            wait = ((rng.random(240) < 0.2) * (1 - 0.7 * green)).astype(np.float32)
            occupied = np.clip(np.convolve(wait, np.ones(4), "same"), 0, 1)
            starts, ends = np.maximum(np.diff(occupied, prepend=0), 0), np.maximum(-np.diff(occupied, append=0), 0)
            yellow, red, call = np.roll(edges, 1), np.roll(edges, 2), np.roll(occupied, 3)
            others, called, plan = (1 - green) / 2, rng.random(240) * 0.5, np.ones(240)
            partner = np.roll(green, int(rng.integers(-4, 5)))
            rows.append(
                np.stack(
                    [occupied, wait, green, yellow, red, call, others, called, plan, starts, ends, starts, ends, partner, call]
                )
            )
        yield {"x": np.stack(rows).astype(np.float32)}


def chain_of_atoms(rng: np.random.Generator, residues: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(positions [6 n, 3], roles [6 n], residue of each [6 n]): six atoms a residue along a crooked chain, in angstrom."""
    step = rng.normal((1.0, 0.3, 0.0), 1, (residues, 3))
    centres = np.cumsum(3.8 * step / np.linalg.norm(step, axis=1, keepdims=True), axis=0)
    around = rng.normal(0, 1, (residues, 6, 3))
    atoms = centres[:, None] + 1.5 * around / np.linalg.norm(around, axis=2, keepdims=True)
    return atoms.reshape(-1, 3), np.tile(np.arange(6), residues), np.repeat(np.arange(residues), 6)


@maker
def protein(model: Path, rng: np.random.Generator) -> Batches:
    """A chain of 20 to 40 residues of six atoms; an edge joins atoms nearer than 5 angstrom."""
    while True:
        residues = int(rng.integers(20, 40))
        places, roles, owner = chain_of_atoms(rng, residues)
        kinds = rng.integers(0, 20, residues)
        distance = np.linalg.norm(places[:, None] - places[None], axis=2)
        edges = np.stack(np.nonzero((distance < 5) & (distance > 0)))
        apart = np.abs(owner[edges[0]] - owner[edges[1]])
        bonded = ((apart > 2) & (rng.random(edges.shape[1]) < 0.2)).astype(np.float32)
        angles = rng.uniform(-np.pi, np.pi, (residues, 26))
        yield {
            "element": np.array([1, 0, 0, 0, 2, 3])[roles],
            "amino_acid": kinds[owner],
            "atom_role": roles,
            "bfactor": rng.uniform(0, 1, len(places)).astype(np.float32),
            "edge_index": edges,
            "edge_dist": distance[edges[0], edges[1]].astype(np.float32),
            "seq_sep": np.minimum(apart, 32),
            "same_residue": (apart == 0).astype(np.float32),
            "target_indices": np.arange(len(places)).reshape(residues, 6),
            "target_mask": np.ones((residues, 6), bool),
            "residue_types": kinds,
            "residue_geometry": np.concatenate([np.sin(angles), np.cos(angles)], axis=1).astype(np.float32),
            "target_environment": rng.uniform(0, 1, (residues, 6, 15)).astype(np.float32),
            "temperature_feature": np.zeros((residues, 1), np.float32),
            "target_atom_rsasa": rng.uniform(0, 1, (residues, 6)).astype(np.float32),
            "pos": places.astype(np.float32),
            "node_normal": np.zeros((len(places), 3), np.float32),
            "is_hbond": bonded,
            "hb_cos": bonded * rng.uniform(0.5, 1, bonded.shape).astype(np.float32),
        }


@maker
def molecules(model: Path, rng: np.random.Generator) -> Batches:
    """The atoms of a reaction: elements, neighbours, distances along bonds, and the side that each is on."""
    while True:
        half = int(rng.integers(8, 20))
        elements = rng.choice([6, 6, 6, 7, 8], half)
        tree = [int(rng.integers(i)) for i in range(1, half)]
        bonds = np.full((half, half), 99)
        np.fill_diagonal(bonds, 0)
        for child, parent in enumerate(tree, 1):
            bonds[child, parent] = bonds[parent, child] = 1
        for middle in range(half):
            bonds = np.minimum(bonds, bonds[:, middle, None] + bonds[None, middle])
        distances = np.ones((2 * half + 1, 2 * half + 1), np.int64)  # 1: not in one molecule; the first token is the whole
        distances[1 : half + 1, 1 : half + 1] = distances[half + 1 :, half + 1 :] = np.minimum(bonds + 2, 9)
        yield {
            "atoms": np.concatenate([[1], elements + 2, elements + 2])[None],
            "neighbors": np.concatenate([[0], np.tile((bonds == 1).sum(1) + 2, 2)])[None],
            "distances": distances[None],
            "roles": np.concatenate([[0], np.full(half, 2), np.full(half, 3)])[None],
        }
