"""The codec of token vectors: a coarse centroid and a product-quantized residual, and scoring from codes.

A code is 4 + m bytes: the number of the centroid (uint16), a scale (float16), both little-endian, and m
numbers of codewords, one for each group of d / m dimensions of the residual (residual compression as in
ColBERTv2, with the product quantizer of Jegou et al. 2011). The scale gives the sum of centroid and codewords
the length that the vector had: without it a token counts for less the worse its code is. A query is compared
with codes through tables of its products with all centroids and codewords: no vector is decoded.
"""

from pathlib import Path
from typing import Annotated, Any

import faiss
import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from pydantic import Field

from retrieval.dense import is_moderate
from retrieval.errors import ConfigError, IndexDamaged
from retrieval.format import (
    DAMAGE_HINT,
    MOST_DIMENSIONS,
    FileEntry,
    check_file,
    crc32_of,
    map_npy,
    read_header,
    write_header,
)
from retrieval.models.late_interaction import Vectors
from retrieval.settings import fingerprint
from retrieval.storage import Shape

Codes = npt.NDArray[np.uint8]
HEADER = "codec.json"
CENTROIDS = "centroids.npy"
CODEBOOKS = "codebooks.npy"
CODEWORDS = 256
COARSE_BYTES = 2
HEAD_BYTES = 4  # centroid and scale
MOST_SCALE = 1e4  # fits a float16
POINTS_PER_CENTROID = 39  # the least that FAISS trains a centroid with
ENCODED_AT_ONCE = 1024  # tokens whose distances to all codewords are held while encoding
ITERATIONS = 10  # of k-means over the centroids


class _Files(Shape):
    centroids: FileEntry = Field(alias=CENTROIDS)
    codebooks: FileEntry = Field(alias=CODEBOOKS)


class _Header(Shape):
    dimension: Annotated[int, Field(ge=1, le=MOST_DIMENSIONS)]
    nlist: Annotated[int, Field(ge=1, le=1 << 8 * COARSE_BYTES)]
    groups: Annotated[int, Field(ge=1, le=MOST_DIMENSIONS)]
    files: _Files
    id: str


def code_groups(dimension: int, code_bytes: int | None = None) -> int:
    """m, the bytes of a residual code: as configured, or 4 dimensions a byte up to 128 and 8 above.

    Raises ConfigError where `code_bytes` does not divide the dimension.
    """
    if code_bytes is None:
        most = max(1, dimension // (4 if dimension <= 128 else 8))
        return next(m for m in range(most, 0, -1) if dimension % m == 0)
    if dimension % code_bytes:
        near = [m for m in range(1, dimension + 1) if dimension % m == 0]
        best = min(near, key=lambda m: abs(m - code_bytes))
        raise ConfigError(
            f"`late_interaction.code_bytes` is {code_bytes}, which does not divide {dimension} dimensions",
            hint=f"Set it to {best}.",
        )
    return code_bytes


class TokenCodec:
    """A trained codec. `dimension`: d. `nlist`: centroids. `code_bytes`: of a token. `id`: exact files."""

    def __init__(self, centroids: torch.Tensor, codebooks: torch.Tensor) -> None:
        """centroids: (nlist, d) float32; codebooks: (m, 256, d / m) float32."""
        self.centroids = centroids
        self.codebooks = codebooks
        self.nlist, self.dimension = centroids.shape
        self.groups = codebooks.shape[0]
        self.code_bytes = HEAD_BYTES + self.groups
        self.id = ""
        self._bases = (self.nlist + CODEWORDS * np.arange(self.groups)).astype(np.int32)

    @classmethod
    def train(
        cls, sample: Vectors, *, nlist: int, code_bytes: int | None = None, seed: int = 0
    ) -> "TokenCodec":
        """Train on token vectors (n, d) float32; fewer centroids where n is below 39 for each.

        The same sample, seed and number of threads give the same codec. Raises ConfigError for an empty
        sample, or as `code_groups`.
        """
        sample = np.ascontiguousarray(sample, np.float32)
        if not len(sample):
            raise ConfigError("there are no token vectors to train a codec with")
        dimension = sample.shape[1]
        groups = code_groups(dimension, code_bytes)
        settings = faiss.ClusteringParameters()
        settings.niter, settings.seed = ITERATIONS, seed
        settings.min_points_per_centroid = 1
        lists = max(1, min(nlist, len(sample) // POINTS_PER_CENTROID))
        clustering = faiss.Clustering(dimension, lists, settings)
        index = faiss.IndexFlatL2(dimension)
        clustering.train(sample, index)
        centroids = faiss.vector_to_array(clustering.centroids).reshape(lists, dimension)
        residuals = sample - centroids[index.search(sample, 1)[1][:, 0]]
        quantizer = faiss.ProductQuantizer(dimension, groups, 8)
        quantizer.cp.seed = seed
        quantizer.cp.min_points_per_centroid = 1
        # FAISS refuses fewer points than codewords.
        quantizer.train(np.tile(residuals, (-(-CODEWORDS // len(residuals)), 1)))
        codebooks = faiss.vector_to_array(quantizer.centroids).reshape(groups, CODEWORDS, -1)
        return cls(torch.from_numpy(centroids.copy()), torch.from_numpy(codebooks.copy()))

    def write(self, folder: Path) -> None:
        """Write the codec into a folder, its header last; sets `id`."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, array in ((CENTROIDS, self.centroids), (CODEBOOKS, self.codebooks)):
            with (folder / name).open("wb") as file:
                np.lib.format.write_array(file, array.numpy(), version=(1, 0), allow_pickle=False)
        files = {
            name: {"bytes": (folder / name).stat().st_size, "crc32": crc32_of(folder / name)}
            for name in (CENTROIDS, CODEBOOKS)
        }
        values = {"dimension": self.dimension, "nlist": self.nlist, "groups": self.groups, "files": files}
        self.id = fingerprint(values)
        write_header(folder / HEADER, {**values, "id": self.id})

    @classmethod
    def open(cls, folder: Path) -> "TokenCodec":
        """Read a codec, every byte of it checked. Raises IndexDamaged where a file is missing or changed."""
        header = read_header(folder / HEADER, _Header)
        for name, entry in ((CENTROIDS, header.files.centroids), (CODEBOOKS, header.files.codebooks)):
            check_file(folder / name, entry.bytes, entry.crc32)
        groups = header.groups
        shapes: dict[str, tuple[int, ...]] = {
            CENTROIDS: (header.nlist, header.dimension),
            CODEBOOKS: (groups, CODEWORDS, header.dimension // groups),
        }
        arrays = [map_npy(folder / name, "<f4", shape, "codec").clone() for name, shape in shapes.items()]
        if header.dimension % groups or not all(is_moderate(array.numpy()) for array in arrays):
            raise IndexDamaged(f"{folder} does not hold a codec.", hint=DAMAGE_HINT)
        codec = cls(*arrays)
        codec.id = header.id
        return codec

    def describe(self) -> dict[str, Any]:
        """Sizes as JSON, for the manifest."""
        return {
            "id": self.id, "dimension": self.dimension, "nlist": self.nlist,
            "bytes_per_token": self.code_bytes,
        }  # fmt: skip

    def encode(self, vectors: Vectors, *, device: str = "cpu") -> Codes:
        """Codes of vectors (n, d) float32: uint8 (n, 4 + m). A token's code depends on that token alone."""
        out = np.empty((len(vectors), self.code_bytes), np.uint8)
        centroids, codebooks = self.centroids.to(device), self.codebooks.to(device)
        # The nearest by distance is the largest product less half the squared length.
        far = centroids.square().sum(1) / 2
        deep = codebooks.square().sum(2)[:, None] / 2
        words = codebooks.transpose(1, 2)
        groups = torch.arange(self.groups, device=device)
        for first in range(0, len(vectors), ENCODED_AT_ONCE):
            block = np.require(vectors[first : first + ENCODED_AT_ONCE], np.float32, ["C", "W"])
            tokens = torch.from_numpy(block).to(device)
            coarse = (tokens @ centroids.T - far).argmax(1)
            residual = (tokens - centroids[coarse]).view(len(tokens), self.groups, -1).transpose(0, 1)
            codes = torch.baddbmm(-deep, residual, words).argmax(2).T
            end = first + len(tokens)
            out[first:end, :COARSE_BYTES] = _bytes_of(coarse.cpu().numpy(), "<u2")
            out[first:end, HEAD_BYTES:] = codes.to(torch.uint8).cpu().numpy()
            chosen = codebooks[groups, codes].flatten(1) + centroids[coarse]
            scale = tokens.norm(dim=1) / chosen.norm(dim=1).clamp(min=1e-12)
            scale = scale.clamp(max=MOST_SCALE).half().cpu().numpy()
            out[first:end, COARSE_BYTES:HEAD_BYTES] = _bytes_of(scale, "<f2")
        return out

    def decode(self, codes: Codes) -> Vectors:
        """Approximate vectors of codes (n, 4 + m): (n, d) float32. Raises IndexDamaged as `products`."""
        entries = torch.from_numpy(self._entries(codes)).long()
        words = self.codebooks.reshape(self.groups * CODEWORDS, -1)[entries[:, 1:] - self.nlist]
        vectors: Vectors = (self.centroids[entries[:, 0]] + words.flatten(1)).numpy()
        return vectors * _scales(codes)[:, None]

    def table(self, query: Vectors) -> torch.Tensor:
        """Products of query tokens (t, d) with all centroids and codewords: (nlist + 256 m, t) float32.

        Raises IndexDamaged where they have other dimensions than the codec.
        """
        if query.shape[1] != self.dimension:
            raise IndexDamaged(
                f"the token codec has {self.dimension} dimensions, the model of the index {query.shape[1]}",
                hint=DAMAGE_HINT,
            )
        tokens = torch.from_numpy(np.require(query, np.float32, ["C", "W"]))
        parts = tokens.view(len(tokens), self.groups, -1).permute(1, 2, 0)
        words = torch.bmm(self.codebooks, parts).view(self.groups * CODEWORDS, len(tokens))
        return torch.cat([self.centroids @ tokens.T, words])

    def products(self, codes: Codes, table: torch.Tensor) -> Vectors:
        """Products of decoded codes (n, 4 + m) with the query tokens of `table`: (n, t) float32.

        Raises IndexDamaged for a code that names no centroid or has no finite scale.
        """
        entries = torch.from_numpy(self._entries(codes))
        result: Vectors = F.embedding_bag(entries, table, mode="sum").numpy()
        result *= _scales(codes)[:, None]
        return result

    def _entries(self, codes: Codes) -> npt.NDArray[np.int32]:
        """Rows of a table that each code adds up: int32 (n, 1 + m)."""
        entries = np.empty((len(codes), 1 + self.groups), np.int32)
        entries[:, 0] = codes[:, 0]
        entries[:, 0] += codes[:, 1].astype(np.int32) << 8
        if len(codes) and int(entries[:, 0].max()) >= self.nlist:
            raise IndexDamaged("a token code names a centroid that the codec does not have", hint=DAMAGE_HINT)
        np.add(codes[:, HEAD_BYTES:], self._bases, out=entries[:, 1:])
        return entries


def _scales(codes: Codes) -> Vectors:
    """Scale of each code: float32 (n,). Raises IndexDamaged where one is not finite."""
    scales = np.ascontiguousarray(codes[:, COARSE_BYTES:HEAD_BYTES]).view("<f2")[:, 0].astype(np.float32)
    if not np.isfinite(scales).all():
        raise IndexDamaged("a token code has a scale that is not finite", hint=DAMAGE_HINT)
    return scales


def _bytes_of(values: npt.NDArray[Any], descr: str) -> Codes:
    """Values (n,) as two bytes each of type `descr`: uint8 (n, 2)."""
    return values.astype(descr).view(np.uint8).reshape(-1, 2)
