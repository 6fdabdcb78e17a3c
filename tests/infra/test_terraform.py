"""infra/terraform: it parses, its names resolve, its policies are those of infra/iam."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.infra.terraform import complaints, files_of, put_in, read, references


@pytest.fixture(scope="module")
def files(root_dir: Path) -> dict[str, str]:
    return files_of(root_dir / "infra/terraform")


@pytest.fixture(scope="module")
def policies(root_dir: Path) -> dict[str, str]:
    return {path.stem: path.read_text() for path in (root_dir / "infra/iam").glob("*.json")}


def test_the_module_is_well(files: dict[str, str], policies: dict[str, str]) -> None:
    assert complaints(files, policies) == []


@pytest.mark.parametrize(
    ("file", "old", "new", "complaint"),
    [
        ("events.tf", r"\}\n$", "", "events.tf: "),
        (
            "events.tf",
            r"aws_sqs_queue\.events\.arn",
            "aws_sqs_queue.event.arn",
            "aws_sqs_queue.event",
        ),
        ("inventory.tf", r"var\.media_bucket", "var.bucket", "there is no var.bucket"),
        (
            "inventory.tf",
            r"local\.state_bucket_arn",
            "local.state_arn",
            "there is no local.state_arn",
        ),
        ("kms.tf", r"data\.aws_partition", "data.aws_part", "there is no data.aws_part.here"),
        ("variables.tf", r"description = .*", "", "says nothing"),
        (
            "variables.tf",
            "$",
            'variable "spare" {\n  description = "x"\n}\n',
            "nobody uses var.spare",
        ),
        ("iam.tf", r'"QUEUE-ARN"', '"QUEUE"', "events: nothing is put in for QUEUE-ARN"),
        ("iam.tf", r'toset\(\["writer", ', "toset([", "are not made, or made and not there"),
        ("iam.tf", r"= local\.policies", "= local.for_the_writer", "is none of infra/iam"),
    ],
)
def test_the_check_sees_a_breach(
    files: dict[str, str], policies: dict[str, str], file: str, old: str, new: str, complaint: str
) -> None:
    broken, count = re.subn(old, new, files[file], count=1)
    assert count == 1
    found = complaints({**files, file: broken}, policies)
    assert any(complaint in said for said in found), found


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ('"s3:PutObject"', '"s3:*"', "s3:* is more than is needed"),
        ('"arn:aws:s3:::SOURCE-BUCKET"', '"*"', "ListTheMedia is of everything"),
    ],
)
def test_a_policy_for_too_much_is_seen(
    files: dict[str, str], policies: dict[str, str], old: str, new: str, complaint: str
) -> None:
    assert old in policies["writer"]
    broken = {**policies, "writer": policies["writer"].replace(old, new)}
    assert any(complaint in said for said in complaints(files, broken))


def test_what_terraform_makes_is_what_infra_iam_says(
    files: dict[str, str], policies: dict[str, str]
) -> None:
    """With names put in, each is the same policy, statement by statement."""
    names = {word: f"name-{number}" for number, word in enumerate(put_in(files["iam.tf"]))}
    for text in policies.values():
        made = text
        for word, name in names.items():
            made = made.replace(word, name)
        there, here = json.loads(made)["Statement"], json.loads(text)["Statement"]
        assert [(s["Sid"], s["Effect"], s["Action"]) for s in there] == [
            (s["Sid"], s["Effect"], s["Action"]) for s in here
        ]
        assert not re.search(r"[A-Z]{3,}-[A-Z]", made)


def test_the_queue_hears_what_the_flow_understands(files: dict[str, str]) -> None:
    """Put, removed, restored; five tries, then the dead letters; the address is an output."""
    blocks = read(files)
    text = json.dumps(blocks)
    for event in ("s3:ObjectCreated:*", "s3:ObjectRemoved:*", "s3:ObjectRestore:Completed"):
        assert event in text
    assert "maxReceiveCount" in text
    outputs = {name.strip('"'): body for one in blocks["output"] for name, body in one.items()}
    assert references(outputs["queue_url"]["value"]) == {"aws_sqs_queue.events"}
    assert references(outputs["dead_letter_queue_url"]["value"]) == {"aws_sqs_queue.dead_letters"}


def test_references_are_found_where_they_stand() -> None:
    assert references('"a ${var.b}-${local.c} d.e"') == {"var.b", "local.c"}
    assert references('${lookup(var.a, "x.y", data.aws_b.c.d)}') == {"var.a", "data.aws_b.c"}
    assert references("${{for k, v in aws_a.b : k => v.arn}}") == {"aws_a.b"}
    assert references('"plain.text"') == set()
