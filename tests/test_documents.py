"""A document and the row that the harness evaluates and logs are each other's inverse."""

from __future__ import annotations

import json

from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st

from lm_eval_xling.records import Condition, Document

# The harness's rows are Arrow tables: no surrogates, and a key holds values of one type.
text = st.text(st.characters(exclude_categories=("Cs",)), max_size=12)
name = st.sampled_from(["question", "answer", "context", "option_0", "option_1", "demonstrations"])
fields = st.fixed_dictionaries({}, optional={"answers": st.lists(text, min_size=1, max_size=3), "split": text})
documents = st.builds(
    Document,
    id=text,
    family=text,
    condition=st.builds(Condition, placement=text, form=text, languages=st.dictionaries(name, text, min_size=1)),
    prompt=text,
    cue=text,
    choices=st.lists(text, max_size=4).map(tuple),
    answer=st.none() | st.integers(0, 3),
    options=st.lists(text, max_size=4).map(tuple),
    target=st.none() | text,
    description=text.map(str.strip),
    pool=text,
    cluster=text,
    group=text,
    fields=fields,
)


@given(documents)
@settings(deadline=None)
def test_a_row_gives_its_document_back(document: Document) -> None:
    assert Document.from_row(document.as_row()) == document
    assert Document.from_row(json.loads(json.dumps(document.as_row()))) == document


@given(st.lists(documents, min_size=1, max_size=4))
@settings(max_examples=20, deadline=None)
def test_rows_of_unlike_keys_come_back_from_one_table(made: list[Document]) -> None:
    rows = [document.as_row() for document in made]
    # A table has the keys of its first row.
    keys = dict.fromkeys(key for row in rows for key in row)
    table = Dataset.from_list([{key: row.get(key) for key in keys} for row in rows])
    assert [Document.from_row(row) for row in table] == made
