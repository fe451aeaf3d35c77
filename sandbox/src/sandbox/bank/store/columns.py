"""Payments as Arrow tables and back, without an object of Python's for each row."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from sandbox.bank.domain.accounts import LONGEST, Accounts, Ints, Texts
from sandbox.bank.domain.payments import Payments
from sandbox.bank.domain.rates import CODES, CURRENCIES
from sandbox.bank.domain.rows import Rows

_TEXT = pa.dictionary(pa.int32(), pa.string())
_TIME = pa.timestamp("ms", "UTC")
SCHEMA = pa.schema(
    [("id", pa.int64()), ("payer_iban", _TEXT), ("beneficiary_iban", _TEXT), ("amount_minor", pa.int64()),
     ("currency", _TEXT), ("timestamp", _TIME)]
)  # fmt: skip
LABELS = pa.schema(
    [("kind", _TEXT), ("id", pa.int64()), ("payer_iban", _TEXT), ("beneficiary_iban", _TEXT),
     ("timestamp", _TIME), ("rows", pa.int64())]
)  # fmt: skip
BATCH, INVALID_IBAN = "batch", "invalid_iban"
_CURRENCIES = pa.array([currency.code for currency in CURRENCIES])
_KINDS = pa.array([BATCH, INVALID_IBAN])


def table_of(made: Payments, accounts: Accounts) -> pa.Table:
    """The payments without what is wrong with them."""
    return pa.table(
        [
            pa.array(made.id), _coded(made.payer, accounts.texts), _coded(made.beneficiary, accounts.texts),
            pa.array(made.amount_minor),
            pa.DictionaryArray.from_arrays(pa.array(made.currency.astype(np.int32)), _CURRENCIES),
            _times(made.time_s),
        ],
        schema=SCHEMA,
    )  # fmt: skip


def labels_of(made: Payments, accounts: Accounts) -> pa.Table:
    """What is wrong: a row for each batch, and for each payment with an invalid IBAN, by the batch's key."""
    last = np.concatenate((made.id[1:] != made.id[:-1], [True])) | (made.batch == 1)
    batches, invalid = np.flatnonzero((made.batch > 1) & last), np.flatnonzero(made.invalid & last)
    rows = np.concatenate((batches, invalid))
    kinds = np.repeat(np.array([0, 1], dtype=np.int32), [len(batches), len(invalid)])
    return pa.table(
        [
            pa.DictionaryArray.from_arrays(pa.array(kinds), _KINDS), pa.array(made.id[rows]),
            _coded(made.payer[rows], accounts.texts), _coded(made.beneficiary[rows], accounts.texts),
            _times(made.time_s[rows]), pa.array(made.batch[rows]),
        ],
        schema=LABELS,
    )  # fmt: skip


def rows_of(table: pa.Table) -> Rows:
    """A table's payments, to be handed out.

    Raises:
        KeyError: a currency that the bank does not know.
    """
    table = table.combine_chunks()
    payer, payer_texts = _decoded(table["payer_iban"])
    beneficiary, beneficiary_texts = _decoded(table["beneficiary_iban"])
    currency = _dictionary(table["currency"])
    known = np.array([CODES[code] for code in currency.dictionary.to_pylist()], dtype=np.int64)
    return Rows(
        table["id"].to_numpy(), payer, beneficiary, table["amount_minor"].to_numpy(),
        known[currency.indices.to_numpy()], table["timestamp"].cast(pa.int64()).to_numpy() // 1000,
        payer_texts, beneficiary_texts,
    )  # fmt: skip


def _times(time_s: Ints) -> pa.Array:
    return pa.array(time_s * 1000).cast(_TIME)


def _coded(codes: Ints, texts: Texts) -> pa.DictionaryArray:
    """Texts by number, with a dictionary of those alone that are used."""
    used = np.zeros(len(texts), dtype=bool)
    used[codes] = True
    number = np.cumsum(used, dtype=np.int32) - 1
    return pa.DictionaryArray.from_arrays(pa.array(number[codes]), _strings(texts[used]))


def _strings(texts: Texts) -> pa.StringArray:
    matrix = texts.view(np.uint8).reshape(len(texts), LONGEST)
    filled = matrix != 0
    offsets = np.concatenate(([0], np.cumsum(filled.sum(axis=1)))).astype(np.int32)
    return pa.StringArray.from_buffers(len(texts), pa.py_buffer(offsets), pa.py_buffer(matrix[filled]))


def _dictionary(column: pa.ChunkedArray) -> Any:
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if isinstance(array, pa.ChunkedArray):
        array = array.chunk(0) if array.num_chunks else pa.array([], _TEXT)
    return array if pa.types.is_dictionary(array.type) else array.dictionary_encode()


def _decoded(column: pa.ChunkedArray) -> tuple[Ints, Texts]:
    array = _dictionary(column)
    words = array.dictionary
    offsets = np.frombuffer(words.buffers()[1], np.int32)[words.offset : words.offset + len(words) + 1]
    length = np.diff(offsets)
    matrix = np.zeros((len(words), LONGEST), dtype=np.uint8)
    if len(words):
        data = np.frombuffer(words.buffers()[2], np.uint8)[offsets[0] : offsets[-1]]
        matrix[np.arange(LONGEST) < length[:, None]] = data
    return array.indices.to_numpy(), matrix.view(f"S{LONGEST}").ravel()
