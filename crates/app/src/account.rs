//! An account named or given in place on the command line.

use std::collections::HashMap;
use std::env::VarError;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use anyhow::{Context, bail};
use engine::{GivenAccount, Naming};
use model::{
    AccountSettings, DtmfMode, JoinPolicy, Login, LoginKind, SrtpKeys, SrtpPolicy, Transport,
    VoicePolicy, WatchKind,
};
use secrecy::SecretString;

use crate::ask;
use crate::cli::{
    AccountArgs, DtmfWord, JoinsWord, SrtpKeysWord, SrtpWord, TransportWord, VoiceWord,
};

/// The account that the arguments give in place, if they do.
pub(crate) fn given(args: &AccountArgs) -> anyhow::Result<Option<GivenAccount>> {
    let Some(aor) = &args.aor else {
        return Ok(None);
    };
    let mut settings = AccountSettings::new(aor.clone());
    settings.auth_user = args.auth_user.clone().map(Into::into);
    settings.registrar = args.registrar.clone().map(Into::into);
    settings.proxy = args.proxy.clone().map(Into::into);
    settings.transport = args.transport.map(transport);
    settings.more_proxies = args
        .also_proxy
        .iter()
        .map(|uri| uri.as_str().into())
        .collect();
    settings.flows = args.flows.unwrap_or(settings.flows);
    settings.gruu = args.gruu;
    settings.public_address.clone_from(&args.public_address);
    settings.inside.clone_from(&args.inside);
    settings.inside_name.clone_from(&args.inside_name);
    settings.stun = args.stun.clone().map(Into::into);
    settings.turn = args.turn.clone().map(Into::into);
    settings.turn_user = args.turn_user.clone().map(Into::into);
    settings.ice = args.ice;
    settings.strong_login = args.no_md5;
    if !args.voice.is_empty() {
        let has = |word| args.voice.contains(&word);
        settings.voice = VoicePolicy {
            echo_cancellation: has(VoiceWord::Echo),
            noise_suppression: has(VoiceWord::Noise),
            gain_control: has(VoiceWord::Gain),
            high_pass: has(VoiceWord::HighPass),
        };
    }
    settings.recording_tone_s = args.recording_tone;
    settings.recording_opus = args.recording_opus;
    settings.hold_music = args.hold_music.as_deref().map(file_name);
    settings.silence_suppression = args.silence_suppression;
    settings.send_twice = args.send_twice;
    settings.bandwidth_kbit = args.bandwidth;
    settings.quality_report = args.quality_report.clone().map(Into::into);
    if args.token {
        settings.login = LoginKind::Token;
    }
    // A script hears of others what it asks for, and nothing else.
    settings.mwi = args.mwi;
    settings.reg_event = args.reg_event;
    settings.watched = args.watch.iter().map(|whom| whom.as_str().into()).collect();
    settings.watch = WatchKind::Both;
    settings.publish_presence = args.publish_presence;
    settings.tls_ca = args.tls_ca.as_deref().map(file_name).map(Into::into);
    settings.tls_cert = args.tls_cert.as_deref().map(file_name).map(Into::into);
    settings.tls_key = args.tls_key.as_deref().map(file_name).map(Into::into);
    settings.tls_trust.clone_from(&args.tls_trust);
    settings.ws_path.clone_from(&args.ws_path);
    settings.bind.clone_from(&args.bind);
    settings.register = !args.no_register;
    settings.headers = args
        .header
        .iter()
        .map(|line| line.as_str().into())
        .collect();
    let compact = args.compact_headers.then_some("out * compact");
    let rules = args.header_rule.iter().map(String::as_str).chain(compact);
    settings.header_rules = rules.map(Into::into).collect();
    if !args.codecs.is_empty() {
        settings.codecs = args
            .codecs
            .iter()
            .map(|c| c.trim().to_ascii_lowercase())
            .collect();
    }
    if let Some(dtmf) = args.dtmf {
        settings.dtmf = match dtmf {
            DtmfWord::Rfc4733 => DtmfMode::Rfc4733,
            DtmfWord::Info => DtmfMode::Info,
            DtmfWord::Inband => DtmfMode::Inband,
            DtmfWord::Auto => DtmfMode::Auto,
        };
    }
    settings.calls.anonymous = args.anonymous;
    settings.calls.joins = match args.joins {
        None | Some(JoinsWord::Never) => JoinPolicy::Never,
        Some(JoinsWord::FromServer) => JoinPolicy::FromServer,
        Some(JoinsWord::Always) => JoinPolicy::Always,
    };
    match args.srtp {
        None | Some(SrtpWord::Off) => {}
        Some(SrtpWord::Optional) => settings.srtp = SrtpPolicy::Optional,
        Some(SrtpWord::OptionalTwoLines) => settings.srtp = SrtpPolicy::OptionalTwoLines,
        Some(SrtpWord::Required) => settings.srtp = SrtpPolicy::Required,
    }
    if args.srtp == Some(SrtpWord::Off) && args.srtp_keys.is_some() {
        bail!("--srtp-keys says where keys come from, and --srtp off wants none");
    }
    if args.srtp_keys == Some(SrtpKeysWord::Dtls) {
        settings.srtp_keys = SrtpKeys::Dtls;
    }
    settings.guest_login = args.guest_login;
    // A script is not kept waiting for somebody who is not there.
    let patience = if ask::somebody() { ask::PATIENCE_S } else { 0 };
    settings.login_wait_s = args.login_wait.map_or(patience, |wait| {
        u16::try_from(wait.as_secs().max(1)).unwrap_or(u16::MAX)
    });
    let logins: Vec<(Login, SecretString)> = args
        .login
        .iter()
        .map(|text| further_login(text))
        .collect::<anyhow::Result<_>>()?;
    settings.logins = logins.iter().map(|(login, _)| login.clone()).collect();
    engine::check_account(&settings)
        .map_err(|error| anyhow::Error::msg(error.sentence().into_revealed()))?;
    let password = args.password_env.as_deref().map(secret).transpose()?;
    let relay_password = args.turn_password_env.as_deref().map(secret).transpose()?;
    Ok(Some(GivenAccount {
        settings,
        password,
        relay_password,
        logins,
    }))
}

/// The passphrase of the account's key, where one is named.
pub(crate) fn key_passphrase(args: &AccountArgs) -> anyhow::Result<Option<SecretString>> {
    args.tls_key_password_env.as_deref().map(secret).transpose()
}

fn secret(variable: &str) -> anyhow::Result<SecretString> {
    match std::env::var(variable) {
        Ok(value) => Ok(SecretString::from(value)),
        Err(VarError::NotPresent) => bail!("the environment variable {variable} is not set"),
        Err(VarError::NotUnicode(_)) => {
            bail!("the environment variable {variable} holds no text in UTF-8")
        }
    }
}

/// `realm=pbx,server=host,user=alice,env=VAR`: a realm may hold neither a comma nor an equals sign here.
fn further_login(text: &str) -> anyhow::Result<(Login, SecretString)> {
    let mut login = Login::default();
    let mut password = None;
    for part in text.split(',') {
        match part.split_once('=') {
            Some(("realm", realm)) => login.realm = Some(realm.to_owned()),
            Some(("server", server)) => login.server = Some(server.to_owned()),
            Some(("user", user)) => login.user = user.into(),
            Some(("env", name)) => password = Some(secret(name)?),
            _ => bail!(
                "“{part}” is no part of a login; one looks like realm=pbx.example,user=alice,env=PBX_PASSWORD"
            ),
        }
    }
    let password = password.context("a further login needs env=VAR for its password")?;
    Ok((login, password))
}

fn file_name(file: &Path) -> String {
    file.display().to_string()
}

fn transport(word: TransportWord) -> Transport {
    match word {
        TransportWord::Udp => Transport::Udp,
        TransportWord::Tcp => Transport::Tcp,
        TransportWord::Tls => Transport::Tls,
        TransportWord::Ws => Transport::Ws,
        TransportWord::Wss => Transport::Wss,
    }
}

/// The names and name servers that the arguments give.
pub(crate) fn naming(args: &AccountArgs) -> anyhow::Result<Naming> {
    let server = |text: &String| {
        let addr = text.parse::<SocketAddr>();
        addr.or_else(|_| text.parse::<IpAddr>().map(|ip| (ip, DNS_PORT).into()))
            .with_context(|| format!("“{text}” is no name server; it looks like 192.0.2.53:53"))
    };
    Ok(Naming {
        hosts: hosts(args)?,
        dns_servers: args.dns.iter().map(server).collect::<anyhow::Result<_>>()?,
    })
}

/// Where name servers listen.
const DNS_PORT: u16 = 53;

fn hosts(args: &AccountArgs) -> anyhow::Result<HashMap<String, Vec<IpAddr>>> {
    let mut hosts: HashMap<String, Vec<IpAddr>> = HashMap::new();
    for entry in &args.host {
        let (name, ip) = entry
            .split_once('=')
            .with_context(|| format!("“{entry}” is no host; it looks like pbx.test=192.0.2.1"))?;
        let Ok(ip) = ip.parse() else {
            bail!("“{ip}” is no IP address; a host looks like pbx.test=192.0.2.1");
        };
        hosts.entry(name.to_owned()).or_default().push(ip);
    }
    Ok(hosts)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Verb};

    #[test]
    fn keys_for_an_encryption_that_is_not_wanted_are_refused() {
        let call = |more: &str| {
            let line = format!("tipring call 600 --aor sip:a@example.com {more}");
            match Cli::try_parse_from(line.split(' ')).map(|cli| cli.verb) {
                Ok(Some(Verb::Call(args))) => given(&args.account).map(drop),
                _ => panic!("no call"),
            }
        };
        for keys in ["dtls", "sdes"] {
            let error = call(&format!("--srtp off --srtp-keys {keys}")).expect_err(keys);
            assert!(error.to_string().contains("--srtp off"), "{error}");
            for policy in ["optional", "optional-two-lines", "required"] {
                call(&format!("--srtp {policy} --srtp-keys {keys}")).expect(policy);
            }
        }
        let error = call("--quality-report nonsense").expect_err("a word");
        assert!(error.to_string().contains("sip:quality@"), "{error}");
        call("--quality-report sip:quality@example.com").expect("an address");
    }
}
