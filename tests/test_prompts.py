"""Prompts: how they are cleaned, and the ids that UMT5's tokenizer gives for them."""

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from pipeline.errors import WeightsError
from pipeline.prompts import clean, tokenizer

SPECIAL = ["<pad>", "</s>", "<unk>"]
PIECES = ["▁", "▁a", "▁cat", "▁sits", "é", "s", "t"]


def vocabulary(path: Path, special: list[str] = SPECIAL, ends: bool = True) -> Path:
    """Write a tokenizer.json of the published form: unigram pieces, marked spaces, an end mark appended."""
    pieces = [(token, 0.0) for token in special] + [(piece, -float(len(PIECES) - i)) for i, piece in enumerate(PIECES)]
    made = Tokenizer(models.Unigram(pieces, unk_id=2, byte_fallback=False))
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    made.add_special_tokens(special)
    if ends:
        made.post_processor = processors.TemplateProcessing(
            single="$A </s>", special_tokens=[("</s>", special.index("</s>"))]
        )
    made.save(str(path / "tokenizer.json"))
    return path / "tokenizer.json"


@pytest.mark.parametrize(
    ("raw", "cleaned"),
    [
        ("   ", ""),
        (" a   cat \n\t sits ", "a cat sits"),
        ("line1\r\nline2\u2028line3", "line1 line2 line3"),
        ("caf\u00c3\u00a9", "caf\u00e9"),
        ("Tom &amp;amp; Jerry &lt;3", "Tom & Jerry <3"),
        ("a <b> &amp;amp; c", "a <b> & c"),
        ("\u201cquoted\u201d", '"quoted"'),
        ("\uff37ide \ufb01ne", "Wide fine"),
        ("&nbsp;entity&nbsp;", "entity"),
        ("a\x00b\x07c", "abc"),
        ("\u4e00\u53ea\u732b\u3002 stays_Under-SCORE!", "\u4e00\u53ea\u732b\u3002 stays_Under-SCORE!"),
    ],
)
def test_cleaning(raw: str, cleaned: str) -> None:
    """Broken characters are mended, entities resolved twice, white space made single; the rest is left alone."""
    assert clean(raw) == cleaned


@settings(max_examples=30)
@given(st.text())
def test_a_clean_prompt_has_only_single_spaces(text: str) -> None:
    """Whatever goes in, no white space comes out but single spaces between words."""
    assert clean(text) == " ".join(clean(text).split())


def test_ids_end_with_the_end_mark_and_shorter_texts_are_padded_to_the_longest(tmp_path: Path) -> None:
    """Ids and mask are int64, as wide as the longest text, 0 behind each end; the empty text is an end mark."""
    ids, mask = tokenizer(vocabulary(tmp_path))([" a  cat sits", "cat", ""])
    assert ids.tolist() == [[4, 5, 6, 1], [5, 1, 0, 0], [1, 0, 0, 0]]
    assert mask.tolist() == [[1, 1, 1, 1], [1, 1, 0, 0], [1, 0, 0, 0]]
    assert (ids.dtype, mask.dtype) == (torch.int64, torch.int64)


def test_prompts_are_cleaned_before_they_are_cut_into_pieces(tmp_path: Path) -> None:
    """A broken, escaped prompt has the ids of the clean one; what the vocabulary lacks is unknown."""
    tokenize = tokenizer(vocabulary(tmp_path))
    assert torch.equal(tokenize(["&nbsp;cat\u00c3\u00a9 "])[0], tokenize(["cat\u00e9"])[0])
    assert tokenize(["cat z"])[0].tolist() == [[5, 3, 2, 1]]


def test_a_long_prompt_is_cut_and_still_ends_with_the_end_mark(tmp_path: Path) -> None:
    """Of 600 words 511 are kept, and the end mark is the 512th id."""
    ids, mask = tokenizer(vocabulary(tmp_path))(["cat " * 600])
    assert ids.tolist() == [[5] * 511 + [1]]
    assert mask.sum() == 512
    assert tokenizer(vocabulary(tmp_path), max_tokens=3)(["cat " * 600])[0].tolist() == [[5, 5, 1]]


def test_ids_are_those_of_the_published_call(tmp_path: Path) -> None:
    """The transformers call that the reference makes, padded to the limit, has the same ids and mask, then padding."""
    from transformers import PreTrainedTokenizerFast

    path, texts = vocabulary(tmp_path), ["a cat sits", "", "cat " * 30, "za cat <unk> </s> ts"]
    library = PreTrainedTokenizerFast(
        tokenizer_file=str(path), pad_token="<pad>", eos_token="</s>", unk_token="<unk>", padding_side="right"
    )
    expected = library(texts, padding="max_length", truncation=True, max_length=16, return_tensors="pt")
    ids, mask = tokenizer(path, max_tokens=16)(texts)
    assert torch.equal(ids, expected["input_ids"])
    assert torch.equal(mask, expected["attention_mask"])


def test_padding_and_truncation_stored_in_the_file_are_overruled(tmp_path: Path) -> None:
    """A tokenizer.json that was saved with settings of its own gives the same ids."""
    path = vocabulary(tmp_path)
    plain = tokenizer(path)(["a cat"])[0]
    stored = Tokenizer.from_file(str(path))
    stored.enable_padding(length=9, pad_id=2)
    stored.enable_truncation(2)
    stored.save(str(path))
    assert torch.equal(tokenizer(path)(["a cat"])[0], plain)


def test_a_missing_tokenizer_is_named_with_what_to_do(tmp_path: Path) -> None:
    """The error says which file is missing and which command fetches it."""
    with pytest.raises(WeightsError, match=r"tokenizer\.json.*python -m pipeline\.download"):
        tokenizer(tmp_path / "tokenizer.json")


def test_a_file_cut_short_is_refused(tmp_path: Path) -> None:
    """Half a download is an error that says so."""
    path = vocabulary(tmp_path)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(WeightsError, match=r"damaged.*fetch it again"):
        tokenizer(path)


def test_another_models_tokenizer_is_refused(tmp_path: Path) -> None:
    """Without the end mark, or with special tokens in other places, ids would mean something else."""
    with pytest.raises(WeightsError, match="not UMT5's"):
        tokenizer(vocabulary(tmp_path, ends=False))
    with pytest.raises(WeightsError, match="not UMT5's"):
        tokenizer(vocabulary(tmp_path, special=["<unk>", "</s>", "<pad>"]))
    path = vocabulary(tmp_path)
    path.write_text(json.dumps({"version": "1.0"}))
    with pytest.raises(WeightsError, match="not UMT5's"):
        tokenizer(path)
