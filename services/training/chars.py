"""A character n-gram encoder trained here, for a language that no pretrained encoder at hand knows.

Latent semantic analysis (Deerwester et al. 1990) of the training texts' TF-IDF, folded into the rows of shared/nn/charngram.py's
embedding: text -> mean over its n-grams of idf(n-gram) * the n-gram's singular vector. With as many components as texts, every linear
classifier on the TF-IDF features has its like on the pooled vectors (the minimiser of a penalised loss lies in the span of the training
rows), so heads on it start from what TF-IDF with logistic regression can do. No label is looked at.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from shared.bundle import Encoder

BUCKETS, WIDTH, NGRAMS = 1 << 15, 512, (1, 2, 3, 4)
MAX_ROWS = 4000  # whose span is taken: its cost grows with the cube
TARGET = "\ue000"  # a private-use character stands for the target


def write(
    texts: Sequence[str], pairs: Sequence[str], folder: Path, width: int = WIDTH, buckets: int = BUCKETS
) -> Encoder:
    """Fits on these texts (of the training and validation parts alone) and writes the encoder's files.

    Raises:
        ValueError: fewer than 3 texts.
    """
    from safetensors.numpy import save_file
    from scipy.sparse import csr_matrix, diags

    from shared.nn.charngram import NgramConfig, NgramTokenizer
    from shared.nn.target import TargetTokenizer

    if len(texts) < 3:
        raise ValueError("a char n-gram encoder needs at least 3 texts to be fitted on")
    spec = Encoder(
        architecture="char-ngram", name="char n-grams, trained here", width=width, max_tokens=512, target=TARGET
    )
    config = NgramConfig(buckets, width, NGRAMS)
    tokens = TargetTokenizer(NgramTokenizer(config, spec.max_tokens), TARGET).encode(texts, pairs)
    rows = np.repeat(np.arange(len(tokens)), [len(each) for each in tokens])
    columns = np.concatenate([each.ids for each in tokens])
    counts = csr_matrix((np.ones(len(rows), np.float64), (rows, columns)), (len(tokens), buckets))
    seen = np.bincount(counts.indices, minlength=buckets)
    idf = np.log((1 + len(tokens)) / (1 + seen)) + 1  # scikit-learn's smoothed idf
    means = diags(1 / np.maximum(np.asarray(counts.sum(axis=1)).ravel(), 1)) @ counts @ diags(idf)
    sampled = means[:MAX_ROWS]
    squares, left = np.linalg.eigh((sampled @ sampled.T).toarray())
    kept = np.flatnonzero(squares > 1e-9 * squares.max())[::-1][:width]
    vectors = (sampled.T @ (left[:, kept] / np.sqrt(squares[kept]))).T
    components = len(kept)
    table = np.zeros((buckets, width), np.float32)
    # Scaled so that pooled vectors have a length near 1 whatever the length of texts.
    table[:, :components] = (idf[:, None] * vectors.T / np.sqrt(squares.sum() / sampled.shape[0])).astype(np.float32)
    save_file({"embedding.weight": table}, folder / spec.weights)
    (folder / "config.json").write_text(json.dumps({"buckets": buckets, "width": width, "ngrams": NGRAMS}) + "\n")
    return spec
