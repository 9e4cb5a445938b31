//! PESQ, the score for speech: the package of that name in a Python of its own.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::shell::{self, Fault, failed};

/// A Python that can score.
pub(super) struct Scorer(PathBuf);

impl Scorer {
    /// The one in the folder of artifacts, which is made where it is not there.
    pub(super) fn new() -> Result<Self, Fault> {
        let folder = shell::artifacts_dir().join("bench/python");
        let python = folder.join("bin/python");
        let has_it = |python: &Path| {
            let mut command = Command::new(python);
            shell::output(command.args(["-c", "import pesq"])).is_ok()
        };
        if has_it(&python) {
            return Ok(Self(python));
        }
        eprintln!("installing PESQ into {} …", folder.display());
        let advice = |fault: Fault| {
            let words = "PESQ needs the packages python3-venv and python3-dev, and PyPI";
            failed(&format!("{}\n{words}", fault.text))
        };
        let mut make = Command::new("python3");
        shell::run(make.args(["-m", "venv"]).arg(&folder)).map_err(advice)?;
        let mut install = Command::new(&python);
        install.args(["-m", "pip", "install", "--quiet", "numpy", "pesq==0.0.4"]);
        shell::run(&mut install).map_err(advice)?;
        Ok(Self(python))
    }

    /// Scores pairs of files, what was said before what was heard of it; answers the score of each that was heard. Their
    /// rate tells which PESQ is meant.
    pub(super) fn score(
        &self,
        home: &Path,
        pairs: &[&str],
    ) -> Result<BTreeMap<String, f64>, Fault> {
        let list = home.join("pairs");
        fs::write(&list, pairs.join("\n"))?;
        let script = home.join("score.py");
        fs::write(&script, SCORE)?;
        eprintln!("scoring {} pairs …", pairs.len() / 2);
        let told = shell::output(Command::new(&self.0).arg(&script).arg(&list))?;
        let scores = told
            .lines()
            .filter_map(|line| line.split_once('\t'))
            .filter_map(|(path, score)| Some((path.to_owned(), score.parse().ok()?)));
        Ok(scores.collect())
    }
}

// Pairs of lines: what was said, what was heard. The rate tells which PESQ is meant (P.862.1 or P.862.2).
const SCORE: &str = r#"
import sys, wave
import numpy
from pesq import pesq

def load(path):
    with wave.open(path) as file:
        samples = file.readframes(file.getnframes())
        return file.getframerate(), numpy.frombuffer(samples, "<i2").astype(numpy.float32)

lines = open(sys.argv[1]).read().split("\n")
for said, heard in zip(lines[::2], lines[1::2]):
    rate, one = load(said)
    _, other = load(heard)
    score = pesq(rate, one, other, "nb" if rate == 8000 else "wb", on_error=1)
    print(heard, score, sep="\t")
"#;
