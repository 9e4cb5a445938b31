//! `cargo xtask layers`: the arrows between the crates, and what the pure ones may not touch.

use std::fs;

use crate::json::Json;
use crate::shell::{self, Fault, failed};

/// One crate of ours.
struct Layer {
    name: &'static str,
    /// Crates of ours that it may import.
    ours: &'static [&'static str],
    /// Everything outside that it may import; `None` leaves it free but for [`RESERVED`].
    outside: Option<&'static [&'static str]>,
}

/// The table of the architecture. Tests may also use `testkit`, and what a crate reaches through
/// those that it imports.
const LAYERS: &[Layer] = &[
    pure("privacy", &[], &["serde"]),
    pure("sip-message", &[], &["thiserror"]),
    pure(
        "sip-core",
        &["privacy", "sip-message"],
        &["md-5", "sha2", "rand_chacha", "thiserror", "zeroize"],
    ),
    pure("event-bodies", &["privacy"], &["quick-xml", "thiserror"]),
    pure(
        "sdp",
        &["privacy"],
        &["sdp-types", "rand_chacha", "thiserror", "zeroize"],
    ),
    pure(
        "rtp",
        &[],
        &[
            "rtp-types",
            "aes",
            "aes-gcm",
            "hmac",
            "sha1",
            "thiserror",
            "zeroize",
        ],
    ),
    pure(
        "nat",
        &[],
        &["is", "hmac", "md-5", "sha1", "thiserror", "zeroize"],
    ),
    pure("codecs", &[], &["audiopus", "ezk-g722", "thiserror"]),
    pure("model", &["privacy"], &["serde"]),
    free("audiopus_sys", &[]),
    free("dtls", &[]),
    free("media", &["rtp", "dtls", "nat", "codecs"]),
    free("audio", &["media"]),
    free("trace", &["model", "sip-message"]),
    free("settings", &["model"]),
    free("wire", &["sip-message", "sip-core", "nat"]),
    pure(
        "replay",
        &["sip-message", "sip-core"],
        &["serde", "serde_json", "thiserror"],
    ),
    free(
        "engine",
        &[
            "sip-message",
            "sip-core",
            "event-bodies",
            "sdp",
            "rtp",
            "dtls",
            "nat",
            "codecs",
            "media",
            "audio",
            "model",
            "trace",
            "settings",
            "wire",
            "replay",
        ],
    ),
    free("control", &["model"]),
    free(
        "switchboard",
        &[
            "privacy",
            "sip-message",
            "sip-core",
            "event-bodies",
            "sdp",
            "rtp",
            "codecs",
            "wire",
        ],
    ),
    free("ui", &["model", "trace"]),
    free(
        "app",
        &[
            "sip-message",
            "model",
            "trace",
            "replay",
            "settings",
            "audio",
            "engine",
            "control",
            "switchboard",
            "ui",
        ],
    ),
    free(
        "testkit",
        &[
            "sip-message",
            "sip-core",
            "sdp",
            "rtp",
            "nat",
            "codecs",
            "media",
            "model",
        ],
    ),
    pure("xtask", &[], &[]),
    free("tests", &[]),
];

/// What only the tests of a crate may import beside that: the actors are tested with real sockets
/// against a real registrar and proxy, and the switchboard is the one at hand.
const FOR_TESTS: &[(&str, &str)] = &[("engine", "switchboard")];

const fn pure(
    name: &'static str,
    ours: &'static [&'static str],
    outside: &'static [&'static str],
) -> Layer {
    Layer {
        name,
        ours,
        outside: Some(outside),
    }
}

const fn free(name: &'static str, ours: &'static [&'static str]) -> Layer {
    Layer {
        name,
        ours,
        outside: None,
    }
}

/// Outside crates with a home: only these crates of ours may import them.
const RESERVED: &[(&str, &[&str])] = &[
    ("ractor", &["engine"]),
    ("cpal", &["audio"]),
    ("egui", &["ui", "app"]),
    ("egui_extras", &["ui"]),
    ("egui_kittest", &["ui"]),
    ("egui_plot", &["ui"]),
    ("eframe", &["app"]),
    ("rusqlite", &["settings"]),
    ("keyring", &["settings"]),
    ("keyring-core", &["settings"]),
    ("audiopus", &["codecs"]),
    ("rtc-dtls", &["dtls"]),
    ("is", &["nat"]),
    (
        "tokio",
        &["wire", "engine", "control", "switchboard", "app"],
    ),
    ("socket2", &["media", "wire", "engine", "switchboard"]),
    ("hickory-resolver", &["engine"]),
    ("if-addrs", &["engine"]),
    ("rustls", &["wire"]),
    ("rustls-webpki", &["wire"]),
    ("rustls-native-certs", &["wire"]),
    ("tokio-rustls", &["wire"]),
    ("tokio-tungstenite", &["wire"]),
];

/// What pure crates do not contain outside their tests. They get time, randomness and bytes from
/// their callers.
const IMPURE: &[&str] = &[
    "Instant::now",
    "SystemTime::now",
    "UdpSocket",
    "TcpStream",
    "TcpListener",
    "std::fs",
    "std::process",
    "std::thread",
    "unsafe ",
    "unsafe{",
    "getrandom",
    "tokio::",
];

const PURE_SOURCES: &[&str] = &[
    "privacy",
    "sip-message",
    "sip-core",
    "sdp",
    "rtp",
    "nat",
    "codecs",
    "model",
    "replay",
];

/// Packages that must not be in Cargo.lock, unless they come from this checkout.
const BANNED: &[(&str, &str)] = &[
    (
        "audiopus_sys",
        "crates/opus-shim stands in for it, with a current libopus",
    ),
    ("g729-sys", "it derives from GPL sources"),
    ("openssl-sys", "rustls is the TLS here"),
];

/// Words that stand in one module only.
const ONE_MODULE: &[(&str, &str, &str)] = &[
    ("media", "UdpSocket::bind", "socket"),
    ("trace", "std::fs", "store"),
];

/// Fails on the first look at anything that is not in the tables.
pub(crate) fn layers() -> Result<(), Fault> {
    let metadata =
        shell::output(shell::cargo().args(["metadata", "--format-version", "1", "--no-deps"]))?;
    let metadata = Json::parse(&metadata)?;
    let mut faults = arrows(&metadata);
    faults.extend(banned(&fs::read_to_string(
        shell::root().join("Cargo.lock"),
    )?));
    faults.extend(sources()?);
    if faults.is_empty() {
        let count = metadata.at("packages").list().len();
        println!("layers: {count} crates, every arrow is in the table");
        return Ok(());
    }
    Err(failed(&format!("layers:\n  {}", faults.join("\n  "))))
}

/// Checks the dependencies of `cargo metadata`.
fn arrows(metadata: &Json) -> Vec<String> {
    let mut faults = Vec::new();
    for package in metadata.at("packages").list() {
        let name = package.at("name").text().unwrap_or_default();
        let Some(layer) = LAYERS.iter().find(|layer| layer.name == name) else {
            faults.push(format!(
                "{name} is not in the table of crates/xtask/src/layers.rs"
            ));
            continue;
        };
        for dependency in package.at("dependencies").list() {
            let to = dependency.at("name").text().unwrap_or_default();
            let is_development = dependency.at("kind").text() == Some("dev");
            let is_ours = dependency.at("path").text().is_some();
            faults.extend(arrow(layer, to, is_ours, is_development));
        }
    }
    faults
}

fn arrow(layer: &Layer, to: &str, is_ours: bool, is_development: bool) -> Option<String> {
    let name = layer.name;
    if is_ours {
        let for_tests = to == "testkit" || is_below(layer, to) || FOR_TESTS.contains(&(name, to));
        let allowed = layer.ours.contains(&to) || (is_development && for_tests);
        return (!allowed).then(|| format!("{name} may not import {to}"));
    }
    if let Some((_, homes)) = RESERVED.iter().find(|(reserved, _)| *reserved == to)
        && !homes.contains(&name)
    {
        return Some(format!(
            "{name} may not import {to}: it belongs to {}",
            homes.join(" and ")
        ));
    }
    match layer.outside {
        Some(outside) if !is_development && !outside.contains(&to) => Some(format!(
            "{name} is pure and may not import {to}; it may use {outside:?}"
        )),
        _ => None,
    }
}

/// Whether a crate reaches another through those that it may import.
fn is_below(layer: &Layer, to: &str) -> bool {
    layer.ours.iter().any(|name| {
        *name == to
            || LAYERS
                .iter()
                .find(|below| below.name == *name)
                .is_some_and(|below| is_below(below, to))
    })
}

/// Looks through the text of Cargo.lock, where only packages from elsewhere have a source.
fn banned(lock: &str) -> Vec<String> {
    lock.split("[[package]]")
        .filter(|package| package.contains("\nsource = "))
        .filter_map(|package| {
            let (name, why) = BANNED
                .iter()
                .find(|(name, _)| package.contains(&format!("\nname = \"{name}\"\n")))?;
            Some(format!("Cargo.lock has {name}: {why}"))
        })
        .collect()
}

/// Looks through the sources for what has no place there.
fn sources() -> Result<Vec<String>, Fault> {
    let mut faults = Vec::new();
    for name in PURE_SOURCES {
        for (shown, source) in code_of(name)? {
            for (number, word) in found(&source, IMPURE) {
                faults.push(format!("{shown}:{number}: {word} in a pure crate"));
            }
        }
    }
    for (name, word, module) in ONE_MODULE {
        for (shown, source) in code_of(name)? {
            if shown.contains(&format!("/src/{module}")) {
                continue;
            }
            for (number, _) in found(&source, &[word]) {
                faults.push(format!(
                    "{shown}:{number}: {word} belongs to the module {module}"
                ));
            }
        }
    }
    Ok(faults)
}

/// The sources of a crate with their paths for people; files that only tests see are left out.
fn code_of(name: &str) -> Result<Vec<(String, String)>, Fault> {
    let root = shell::root();
    let mut files = Vec::new();
    for path in shell::files_below(&root.join("crates").join(name).join("src"), "rs") {
        let shown = path.strip_prefix(&root).unwrap_or(&path);
        files.push((shown.display().to_string(), fs::read_to_string(&path)?));
    }
    let for_tests: Vec<String> = files
        .iter()
        .flat_map(|(_, source)| test_modules(source))
        .collect();
    files.retain(|(path, _)| {
        let is_of = |module: &String| {
            path.ends_with(&format!("/{module}.rs")) || path.contains(&format!("/{module}/"))
        };
        !for_tests.iter().any(is_of)
    });
    Ok(files)
}

/// Modules in files of their own that are compiled for tests only.
fn test_modules(source: &str) -> Vec<String> {
    let lines: Vec<&str> = source.lines().map(str::trim).collect();
    let mut modules = Vec::new();
    for (index, _) in lines
        .iter()
        .enumerate()
        .filter(|(_, l)| **l == "#[cfg(test)]")
    {
        let item = lines[index + 1..]
            .iter()
            .find(|line| !line.starts_with("#["));
        let name = item
            .and_then(|line| line.strip_suffix(';'))
            .and_then(|line| line.rsplit_once("mod "));
        modules.extend(name.map(|(_, name)| name.to_owned()));
    }
    modules
}

/// Lines of code, tests and comments left out, that contain one of the words.
fn found<'a>(source: &str, words: &[&'a str]) -> Vec<(usize, &'a str)> {
    let mut hits = Vec::new();
    let mut lines = source.lines().enumerate();
    while let Some((index, line)) = lines.next() {
        if line.trim() == "#[cfg(test)]" {
            skip_item(&mut lines);
            continue;
        }
        let code = line.split("//").next().unwrap_or_default();
        for word in words {
            if code.contains(word) {
                hits.push((index + 1, *word));
            }
        }
    }
    hits
}

/// Passes over one item: to the brace that closes it, or to its semicolon. rustfmt puts that brace
/// at the indentation of the item's first line.
fn skip_item<'a>(lines: &mut impl Iterator<Item = (usize, &'a str)>) {
    let mut indent = None;
    for (_, line) in lines {
        let depth = line.len() - line.trim_start().len();
        match indent {
            None if line.trim_start().starts_with("#[") => {}
            None if line.ends_with('}') || line.ends_with(';') => return,
            None => indent = Some(depth),
            Some(first) if depth == first && line.trim_start().starts_with('}') => return,
            Some(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{IMPURE, Json, LAYERS, arrow, arrows, banned, found, pure, test_modules};

    #[test]
    fn an_arrow_that_is_not_in_the_table_is_named() {
        let metadata = Json::parse(
            r#"{"packages": [{"name": "ui", "dependencies": [
                {"name": "engine", "kind": null, "path": "/x"},
                {"name": "model", "kind": null, "path": "/x"},
                {"name": "testkit", "kind": "dev", "path": "/x"},
                {"name": "rusqlite", "kind": null}]},
               {"name": "util", "dependencies": []}]}"#,
        )
        .unwrap();
        let faults = arrows(&metadata);
        assert_eq!(faults.len(), 3, "{faults:?}");
        assert!(faults[0].contains("ui may not import engine"));
        assert!(faults[1].contains("rusqlite"));
        assert!(faults[2].contains("util"));
    }

    /// What the whole program, its tests included, may bring with it. Raise it only together with the
    /// reason, beside the new line in the workspace's Cargo.toml.
    const MOST_PACKAGES: usize = 720;

    #[test]
    fn what_the_program_brings_with_it_stays_within_a_budget() {
        let lock = std::fs::read_to_string(crate::shell::root().join("Cargo.lock")).unwrap();
        let packages = lock.lines().filter(|line| *line == "[[package]]").count();
        assert!(packages > 100, "the lock file was read");
        assert!(
            packages <= MOST_PACKAGES,
            "{packages} packages, {MOST_PACKAGES} is the budget"
        );
    }

    #[test]
    fn tests_may_use_what_their_crate_reaches() {
        let audio = LAYERS.iter().find(|layer| layer.name == "audio").unwrap();
        assert!(arrow(audio, "codecs", true, true).is_none());
        assert!(arrow(audio, "codecs", true, false).is_some());
        assert!(arrow(audio, "engine", true, true).is_some());
        let engine = LAYERS.iter().find(|layer| layer.name == "engine").unwrap();
        assert!(arrow(engine, "switchboard", true, true).is_none());
        assert!(arrow(engine, "switchboard", true, false).is_some());
    }

    #[test]
    fn a_pure_crate_takes_nothing_that_was_not_granted() {
        let sdp = pure("sdp", &[], &["thiserror"]);
        assert!(arrow(&sdp, "thiserror", false, false).is_none());
        assert!(arrow(&sdp, "rand", false, false).is_some());
        assert!(arrow(&sdp, "proptest", false, true).is_none());
        assert!(arrow(&sdp, "tokio", false, true).is_some());
    }

    #[test]
    fn files_for_tests_are_known_by_their_declaration() {
        let source = "#[cfg(test)]\npub(crate) mod testing;\nmod real;\n#[cfg(test)]\n#[path = \"x.rs\"]\nmod more;\n#[cfg(test)]\nmod inner {\n}\n";
        assert_eq!(test_modules(source), ["testing", "more"]);
    }

    #[test]
    fn a_banned_package_may_come_from_here_only() {
        let ours = "[[package]]\nname = \"audiopus_sys\"\nversion = \"0.2.99\"\n";
        let theirs =
            "[[package]]\nname = \"audiopus_sys\"\nversion = \"0.2.2\"\nsource = \"registry\"\n";
        assert_eq!(banned(ours), [""; 0]);
        assert_eq!(banned(&format!("{ours}{theirs}")).len(), 1);
    }

    #[test]
    fn tests_and_comments_may_say_what_code_may_not() {
        let source = "\
use std::time::Instant; // never Instant::now()
fn a() { Instant::now(); }
#[cfg(test)]
mod tests {
    fn b() {
        Instant::now();
    }
}
#[cfg(test)]
mod more;
fn c() { SystemTime::now(); }
";
        let hits = found(source, IMPURE);
        assert_eq!(hits, [(2, "Instant::now"), (11, "SystemTime::now")]);
    }
}
