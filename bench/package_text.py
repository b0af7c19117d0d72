"""Text of Debian's documentation packages, for what learns: the documentation of Python and Perl in
parts by the names of its files, and git-doc, which nothing learns from."""
import hashlib
import pathlib
import subprocess

ROOT = pathlib.Path(__file__).resolve().parent.parent
PACKAGES = ["python3.11-doc", "perl-doc", "git-doc"]


def write_parts(folder):
    """Files in `train` (a quarter), `held-out` and `choosing` (a twentieth each), and `git`."""
    if (folder / "git").exists():
        return
    subprocess.run([ROOT / "scripts/install-packages", *PACKAGES], check=True)
    documents = sorted(pathlib.Path("/usr/share/doc/python3.11/html/_sources").rglob("*.rst.txt"))
    documents += sorted(pathlib.Path("/usr/share/perl").rglob("pod/*.pod"))
    for path in documents:
        number = int(hashlib.sha256(path.name.encode()).hexdigest(), 16) % 20
        part = ["held-out", "choosing", *["train"] * 5, *[None] * 13][number]
        if part is not None:
            copy(path, folder / part / f"{path.name}.txt")
    for path in sorted(pathlib.Path("/usr/share/doc/git-doc").rglob("*.txt")):
        copy(path, folder / "git" / path.name)


def copy(path, to):
    to.parent.mkdir(exist_ok=True)
    to.write_text(path.read_text(errors="ignore"))
