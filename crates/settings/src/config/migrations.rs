//! The way from each old version of the file to the newest.
//!
//! Append only: a step, once released, is never changed, because files of its version are out there.
//! Steps work on the table and not on the types of [`super::file`], which move on.

use toml::{Table, Value};

type Step = fn(&mut Table) -> Result<(), String>;

/// Step `n` takes a file from version `n + 1` to `n + 2`.
const STEPS: [Step; 1] = [accounts_move_into_their_tenants];

/// The version that is written.
pub(crate) const CURRENT: i64 = STEPS.len() as i64 + 1;

/// Brings a table from `version` to [`CURRENT`].
pub(super) fn migrate(table: &mut Table, version: i64) -> Result<(), String> {
    let first = usize::try_from(version)
        .ok()
        .and_then(|version| version.checked_sub(1))
        .ok_or_else(|| format!("there never was a version {version}"))?;
    for step in STEPS.iter().skip(first) {
        step(table)?;
    }
    table.insert("version".to_owned(), Value::Integer(CURRENT));
    Ok(())
}

/// Version 1 had one flat list of accounts, each naming its tenant, and kept devices and preferences
/// at the top. Version 2 nests and groups them.
fn accounts_move_into_their_tenants(table: &mut Table) -> Result<(), String> {
    group(
        table,
        "devices",
        &[("microphone", "capture"), ("speaker", "playout")],
    );
    group(
        table,
        "preferences",
        &[("theme", "theme"), ("text_scale", "text_scale")],
    );
    let mut tenants = tables(table.remove("tenants"), "tenants")?;
    for mut account in tables(table.remove("accounts"), "accounts")? {
        let owner = match account.remove("tenant") {
            Some(Value::String(owner)) => owner,
            Some(_) => return Err("an account's tenant is not text".to_owned()),
            None => "home".to_owned(),
        };
        let at = tenants
            .iter()
            .position(|t| t.get("id").and_then(Value::as_str) == Some(&owner))
            .unwrap_or_else(|| {
                // An account is worth more than the order of the file: its tenant is made.
                tenants.push(Table::from_iter([
                    ("id".to_owned(), Value::String(owner.clone())),
                    ("name".to_owned(), Value::String(owner.clone())),
                ]));
                tenants.len() - 1
            });
        let Some(tenant) = tenants.get_mut(at) else {
            continue;
        };
        let list = tenant
            .entry("accounts")
            .or_insert_with(|| Value::Array(Vec::new()));
        match list {
            Value::Array(list) => list.push(Value::Table(account)),
            _ => return Err("a tenant's accounts are not a list".to_owned()),
        }
    }
    let tenants = tenants.into_iter().map(Value::Table).collect();
    table.insert("tenants".to_owned(), Value::Array(tenants));
    Ok(())
}

/// Moves keys from the top into a table of their own, with new names.
fn group(table: &mut Table, name: &str, keys: &[(&str, &str)]) {
    let moved: Table = keys
        .iter()
        .filter_map(|(old, new)| Some(((*new).to_owned(), table.remove(*old)?)))
        .collect();
    if !moved.is_empty() {
        table.insert(name.to_owned(), Value::Table(moved));
    }
}

fn tables(value: Option<Value>, what: &str) -> Result<Vec<Table>, String> {
    let list = match value {
        None => return Ok(Vec::new()),
        Some(Value::Array(list)) => list,
        Some(_) => return Err(format!("\u{201c}{what}\u{201d} is not a list")),
    };
    list.into_iter()
        .map(|item| match item {
            Value::Table(table) => Ok(table),
            _ => Err(format!("an entry of \u{201c}{what}\u{201d} is not a table")),
        })
        .collect()
}
