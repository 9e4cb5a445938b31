//! What a person set, and its file.
//!
//! `settings.toml` is versioned. Reading goes text → table → migrations up to [`CURRENT`] → the file's
//! own types → [`Settings`]; writing goes the other way and always writes the newest version. Keys
//! this version does not know are reported and kept, so that an older Tipring does not strip what a
//! newer one wrote.

mod calls;
mod file;
mod migrations;
mod wrong;

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use model::{
    AccountId, AccountSettings, DeviceId, Preferences, TenantId, TrustedCertificate, Volume,
};

use crate::atomic;

pub(crate) use migrations::CURRENT;

/// Everything a person set, except passwords.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings {
    /// Organisations with their accounts, in the order of the rail.
    pub tenants: Vec<Tenant>,
    /// Chosen sound devices.
    pub devices: DeviceChoices,
    /// What was chosen about the window.
    pub preferences: Preferences,
    /// Keys of the file that this version does not know.
    unknown: Unknown,
}

/// One organisation.
#[derive(Clone, Debug, PartialEq)]
pub struct Tenant {
    /// Never changes and is never shown.
    pub id: TenantId,
    /// What a person calls it.
    pub name: String,
    /// Index into the theme's tenant colours.
    pub colour: u8,
    /// Name servers to ask in place of the system's.
    pub dns_servers: Vec<SocketAddr>,
    /// The local address of accounts that name none of their own, or a network interface.
    pub bind: Option<String>,
    /// Certificates that a person trusts, by host.
    pub trusted: Vec<TrustedCertificate>,
    /// Names with fixed addresses, asked before DNS.
    pub hosts: BTreeMap<String, Vec<IpAddr>>,
    /// Its accounts, in the order of the list.
    pub accounts: Vec<Account>,
    unknown: toml::Table,
}

/// One account of a tenant.
#[derive(Clone, Debug, PartialEq)]
pub struct Account {
    /// Unique over all tenants; never changes.
    pub id: AccountId,
    /// What a person set for it.
    pub settings: AccountSettings,
    unknown: toml::Table,
}

/// Chosen sound devices, and how loud they are; `None` follows the system's default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeviceChoices {
    /// The microphone.
    pub capture: Option<DeviceId>,
    /// The speaker.
    pub playout: Option<DeviceId>,
    /// What rings; `None` is the speaker.
    pub ringer: Option<DeviceId>,
    /// How loud the speaker is; `None` is as it comes.
    pub speaker_volume: Option<Volume>,
    /// How loud the microphone is; `None` is as it comes.
    pub microphone_gain: Option<Volume>,
    /// The country whose tones are heard; `None` is that of the system's locale.
    pub tones: Option<String>,
}

/// Unknown keys of the tables that there is one of.
#[derive(Clone, Debug, Default, PartialEq)]
struct Unknown {
    top: toml::Table,
    devices: toml::Table,
    preferences: toml::Table,
}

/// What [`Settings::load`] found.
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded {
    /// Always usable; defaults where the file could not be read.
    pub settings: Settings,
    /// What a person should know of it; empty when all was well.
    pub problems: Vec<Problem>,
}

/// Something in the file that was not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Line in `settings.toml`, counted from 1, when there is one to name.
    pub line: Option<usize>,
    /// What is wrong and what was done about it.
    pub sentence: String,
}

impl Problem {
    fn new(line: Option<usize>, sentence: impl Into<String>) -> Self {
        Self {
            line,
            sentence: sentence.into(),
        }
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.line {
            Some(line) => write!(f, "settings.toml, line {line}: {}", self.sentence),
            None => write!(f, "settings.toml: {}", self.sentence),
        }
    }
}

/// Why the settings could not be saved. The previous file is untouched.
#[derive(Debug, thiserror::Error)]
pub enum SaveError {
    /// The disk refused.
    #[error("the settings were not saved, and the previous ones are untouched: {} ({})", atomic::reason(.source), .path.display())]
    Disk {
        /// What the system said.
        source: io::Error,
        /// The file.
        path: PathBuf,
    },
    /// The settings have no form in TOML; a fault of ours.
    #[error("the settings were not saved: {0}")]
    Format(#[from] toml::ser::Error),
}

impl Tenant {
    /// A tenant without accounts.
    pub fn new(id: TenantId, name: impl Into<String>, colour: u8) -> Self {
        Self {
            id,
            name: name.into(),
            colour,
            dns_servers: Vec::new(),
            bind: None,
            trusted: Vec::new(),
            hosts: BTreeMap::new(),
            accounts: Vec::new(),
            unknown: toml::Table::new(),
        }
    }
}

impl Account {
    /// An account with these settings.
    pub fn new(id: AccountId, settings: AccountSettings) -> Self {
        Self {
            id,
            settings,
            unknown: toml::Table::new(),
        }
    }
}

impl Settings {
    /// Reads `settings.toml` in `dir`. Never fails: a missing file is a fresh start, a broken one is
    /// copied to `settings.broken-N.toml`, named with line and reason, and defaults are used.
    pub fn load(dir: &Path) -> Loaded {
        let path = dir.join(FILE);
        let text = match read(&path) {
            Ok(Some(text)) => text,
            Ok(None) => return Loaded::defaults(Vec::new()),
            Err(problem) => return Loaded::defaults(vec![problem]),
        };
        match parse(&text) {
            Ok(parsed) => {
                let mut loaded = parsed.loaded;
                if let Some(old) = parsed.migrated_from {
                    keep_old_version(&path, &text, old, &mut loaded.problems);
                }
                loaded
            }
            Err(mut problem) => {
                problem
                    .sentence
                    .push_str(&keep_broken(&path, text.as_bytes()));
                Loaded::defaults(vec![problem])
            }
        }
    }

    /// Writes `settings.toml` in `dir`, all of it or nothing.
    ///
    /// # Errors
    /// [`SaveError`] with a sentence; the previous file is then as it was.
    pub fn save(&self, dir: &Path) -> Result<(), SaveError> {
        let text = self.to_toml()?;
        let path = dir.join(FILE);
        atomic::write(&path, text.as_bytes()).map_err(|source| SaveError::Disk { source, path })
    }

    /// The text of the file.
    ///
    /// # Errors
    /// [`SaveError::Format`] when a value has no form in TOML.
    pub fn to_toml(&self) -> Result<String, SaveError> {
        let body = toml::to_string(&file::File::from(self))?;
        Ok(format!("{HEADING}{body}"))
    }

    /// The tenant with this id.
    pub fn tenant(&self, id: &TenantId) -> Option<&Tenant> {
        self.tenants.iter().find(|tenant| tenant.id == *id)
    }

    /// The tenant with this id, to change it.
    pub fn tenant_mut(&mut self, id: &TenantId) -> Option<&mut Tenant> {
        self.tenants.iter_mut().find(|tenant| tenant.id == *id)
    }

    /// The account with this id, and whose it is.
    pub fn account(&self, id: &AccountId) -> Option<(&Tenant, &Account)> {
        self.accounts().find(|(_, account)| account.id == *id)
    }

    /// The account with this id, to change it.
    pub fn account_mut(&mut self, id: &AccountId) -> Option<&mut Account> {
        self.tenants
            .iter_mut()
            .flat_map(|tenant| &mut tenant.accounts)
            .find(|account| account.id == *id)
    }

    /// All accounts with their tenants, in order.
    pub fn accounts(&self) -> impl Iterator<Item = (&Tenant, &Account)> {
        self.tenants
            .iter()
            .flat_map(|tenant| tenant.accounts.iter().map(move |account| (tenant, account)))
    }

    /// An id for a new tenant, made from its name and not in use.
    pub fn fresh_tenant_id(&self, name: &str) -> TenantId {
        let taken: HashSet<&str> = self.tenants.iter().map(|t| t.id.as_str()).collect();
        TenantId::new(fresh_id(name, "tenant", |id| taken.contains(id)))
    }

    /// An id for a new account, made from its address and not in use by any tenant.
    pub fn fresh_account_id(&self, aor: &str) -> AccountId {
        let taken: HashSet<&str> = self.accounts().map(|(_, a)| a.id.as_str()).collect();
        AccountId::new(fresh_id(account_words(aor), "account", |id| {
            taken.contains(id)
        }))
    }
}

impl Loaded {
    fn defaults(problems: Vec<Problem>) -> Self {
        Self {
            settings: Settings::default(),
            problems,
        }
    }
}

struct Parsed {
    loaded: Loaded,
    migrated_from: Option<i64>,
}

fn read(path: &Path) -> Result<Option<String>, Problem> {
    let bytes = match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Ok(meta) if meta.len() > LIMIT_BYTES => {
            return Err(Problem::new(
                None,
                format!(
                    "The file is larger than {} MB and was not read; defaults are used.",
                    LIMIT_BYTES >> 20
                ),
            ));
        }
        _ => fs::read(path),
    };
    let bytes = bytes.map_err(|error| {
        Problem::new(
            None,
            format!(
                "The file could not be read ({}); defaults are used.",
                atomic::reason(&error)
            ),
        )
    })?;
    String::from_utf8(bytes).map(Some).map_err(|error| {
        let good = error.utf8_error().valid_up_to();
        let bytes = error.into_bytes();
        let line = 1 + bytes.iter().take(good).filter(|b| **b == b'\n').count();
        Problem::new(
            Some(line),
            format!(
                "This is not UTF-8 text; defaults are used.{}",
                keep_broken(path, &bytes)
            ),
        )
    })
}

fn parse(text: &str) -> Result<Parsed, Problem> {
    let broken = |error: &toml::de::Error| {
        let place = error.span().map(|span| span.start);
        let line = place.map(|place| line_at(text, place));
        let key = place.and_then(|place| file::key_at(text, place));
        let sentence = wrong::sentence(key.as_deref(), error.message());
        Problem::new(line, format!("{sentence}; defaults are used."))
    };
    let mut table: toml::Table = toml::from_str(text).map_err(|e| broken(&e))?;
    let mut problems = Vec::new();
    let version = match table.get("version") {
        Some(toml::Value::Integer(version)) => *version,
        Some(_) => {
            let line = file::line_of(text, &["version"]);
            return Err(Problem::new(
                line,
                "The version is not a number; defaults are used.",
            ));
        }
        None => {
            if !table.is_empty() {
                problems.push(Problem::new(
                    None,
                    format!("There is no version; it was read as version {CURRENT}."),
                ));
            }
            CURRENT
        }
    };
    if version > CURRENT {
        let line = file::line_of(text, &["version"]);
        return Err(Problem::new(
            line,
            format!(
                "It was written by a newer Tipring (version {version}, this one knows {CURRENT}); defaults are used."
            ),
        ));
    }
    let mut file: file::File = if version == CURRENT {
        // From the text and not from the table, so that an error knows its line.
        toml::from_str(text).map_err(|e| broken(&e))?
    } else {
        migrations::migrate(&mut table, version).map_err(|sentence| {
            Problem::new(
                None,
                format!("Version {version} could not be brought up to date: {sentence}; defaults are used."),
            )
        })?;
        table.try_into().map_err(|e| broken(&e))?
    };
    for path in file.unknown_keys() {
        let steps: Vec<&str> = path.iter().map(String::as_str).collect();
        // Lines of a migrated file are those of another shape and would mislead.
        let line = (version == CURRENT)
            .then(|| file::line_of(text, &steps))
            .flatten();
        let key = path.last().map_or("", String::as_str);
        problems.push(Problem::new(
            line,
            format!(
                "The key \u{201c}{key}\u{201d} is not known here; it is kept and has no effect."
            ),
        ));
    }
    file.repair(&mut problems);
    Ok(Parsed {
        loaded: Loaded {
            settings: file.into(),
            problems,
        },
        migrated_from: (version < CURRENT).then_some(version),
    })
}

/// Copies a broken file aside, once for each content, and says where it is.
fn keep_broken(path: &Path, bytes: &[u8]) -> String {
    // Copies may have been deleted in between: all are looked at before a new one is made.
    let copies = || (1..1000).map(|n| atomic::numbered(path, "broken", n));
    let is_copy = |aside: &PathBuf| {
        let length = fs::metadata(aside).is_ok_and(|meta| meta.len() == bytes.len() as u64);
        length && fs::read(aside).is_ok_and(|kept| kept == bytes)
    };
    if let Some(aside) = copies().find(is_copy) {
        return format!(" It is kept as {}.", name(&aside));
    }
    let Some(aside) = atomic::free_name_beside(path, "broken") else {
        return String::new();
    };
    // A disk too full for a copy still has room for a rename.
    if atomic::write(&aside, bytes).is_ok() || fs::rename(path, &aside).is_ok() {
        format!(" It is kept as {}.", name(&aside))
    } else {
        " It could not be copied aside and is overwritten by the next change.".to_owned()
    }
}

fn keep_old_version(path: &Path, text: &str, version: i64, problems: &mut Vec<Problem>) {
    let aside = path.with_file_name(format!("settings.v{version}.toml"));
    if aside.exists() {
        return;
    }
    if let Err(error) = atomic::write(&aside, text.as_bytes()) {
        problems.push(Problem::new(
            None,
            format!(
                "Version {version} of the file could not be kept as {}: {}.",
                name(&aside),
                atomic::reason(&error)
            ),
        ));
    }
}

fn name(path: &Path) -> std::borrow::Cow<'_, str> {
    path.file_name().unwrap_or_default().to_string_lossy()
}

fn line_at(text: &str, offset: usize) -> usize {
    1 + text.bytes().take(offset).filter(|b| *b == b'\n').count()
}

/// `sip:alice@example.com:5060` gives `alice@example.com`, of which the id is made.
fn account_words(aor: &str) -> &str {
    let rest = aor.split_once(':').map_or(aor, |(_, rest)| rest);
    rest.split([';', '?', ':']).next().unwrap_or(rest)
}

fn fresh_id(words: &str, fallback: &str, taken: impl Fn(&str) -> bool) -> String {
    let mut slug = String::new();
    for c in words.chars().take(60) {
        if c.is_ascii_alphanumeric() {
            slug.push(c.to_ascii_lowercase());
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    let slug = match slug.trim_end_matches('-') {
        "" => fallback,
        slug => slug,
    };
    if !taken(slug) {
        return slug.to_owned();
    }
    let mut n = 2_u64;
    loop {
        let candidate = format!("{slug}-{n}");
        if !taken(&candidate) {
            return candidate;
        }
        n += 1;
    }
}

/// A folder of its own for one test, empty; gone when this is dropped.
#[cfg(test)]
pub(crate) struct Scratch(PathBuf);

#[cfg(test)]
pub(crate) fn scratch(name: &str) -> Scratch {
    let dir = std::env::temp_dir().join(format!("tipring-settings-{}-{name}", std::process::id()));
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(&dir).unwrap();
    Scratch(dir)
}

#[cfg(test)]
impl std::ops::Deref for Scratch {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.0
    }
}

#[cfg(test)]
impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed is the system's to tidy up.
        let _ = fs::remove_dir_all(&self.0);
    }
}

const FILE: &str = "settings.toml";
const LIMIT_BYTES: u64 = 16 << 20;
const HEADING: &str = "\
# Tipring's settings. The program writes this file anew with each change; edit it while Tipring is
# closed. Passwords are never here: the system's keystore or an encrypted vault has them.

";

#[cfg(test)]
mod tests;
