//! What an account does with calls by itself, as the file has it.

use model::CallPolicies;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct FileCalls {
    redirects: Redirects,
    session_timers: bool,
    session_expires_s: u32,
    min_session_expires_s: u32,
    prack: Prack,
    early_media: bool,
    do_not_disturb: DoNotDisturb,
    #[serde(skip_serializing_if = "Option::is_none")]
    forward_always: Option<model::Private>,
    #[serde(skip_serializing_if = "Option::is_none")]
    forward_busy: Option<model::Private>,
    #[serde(skip_serializing_if = "Option::is_none")]
    forward_no_answer: Option<model::Private>,
    forward_after_s: u16,
    auto_answer: AutoAnswer,
    joins: Joins,
    most_calls: u16,
    anonymous: bool,
    #[serde(flatten)]
    pub(super) rest: toml::Table,
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Redirects {
    Ask,
    Always,
    Never,
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Prack {
    Off,
    Supported,
    Required,
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
enum DoNotDisturb {
    Off,
    Busy,
    Unavailable,
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
enum AutoAnswer {
    Never,
    WhenAsked,
    Always,
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Joins {
    Never,
    FromServer,
    Always,
}

impl FileCalls {
    /// Whether nothing was set, so that nothing is written.
    pub(super) fn is_usual(&self) -> bool {
        self.rest.is_empty() && CallPolicies::from(self.clone()) == CallPolicies::default()
    }
}

impl Default for FileCalls {
    fn default() -> Self {
        CallPolicies::default().into()
    }
}

impl From<FileCalls> for CallPolicies {
    fn from(file: FileCalls) -> Self {
        Self {
            redirects: match file.redirects {
                Redirects::Ask => model::RedirectPolicy::Ask,
                Redirects::Always => model::RedirectPolicy::Always,
                Redirects::Never => model::RedirectPolicy::Never,
            },
            session_timers: file.session_timers,
            session_expires_s: file.session_expires_s,
            min_session_expires_s: file.min_session_expires_s,
            prack: match file.prack {
                Prack::Off => model::PrackPolicy::Off,
                Prack::Supported => model::PrackPolicy::Supported,
                Prack::Required => model::PrackPolicy::Required,
            },
            early_media: file.early_media,
            do_not_disturb: match file.do_not_disturb {
                DoNotDisturb::Off => model::DoNotDisturb::Off,
                DoNotDisturb::Busy => model::DoNotDisturb::Busy,
                DoNotDisturb::Unavailable => model::DoNotDisturb::Unavailable,
            },
            forward_always: file.forward_always,
            forward_busy: file.forward_busy,
            forward_no_answer: file.forward_no_answer,
            forward_after_s: file.forward_after_s,
            auto_answer: match file.auto_answer {
                AutoAnswer::Never => model::AutoAnswer::Never,
                AutoAnswer::WhenAsked => model::AutoAnswer::WhenAsked,
                AutoAnswer::Always => model::AutoAnswer::Always,
            },
            joins: match file.joins {
                Joins::Never => model::JoinPolicy::Never,
                Joins::FromServer => model::JoinPolicy::FromServer,
                Joins::Always => model::JoinPolicy::Always,
            },
            most_calls: file.most_calls,
            anonymous: file.anonymous,
        }
    }
}

impl From<CallPolicies> for FileCalls {
    fn from(policies: CallPolicies) -> Self {
        Self {
            redirects: match policies.redirects {
                model::RedirectPolicy::Ask => Redirects::Ask,
                model::RedirectPolicy::Always => Redirects::Always,
                model::RedirectPolicy::Never => Redirects::Never,
            },
            session_timers: policies.session_timers,
            session_expires_s: policies.session_expires_s,
            min_session_expires_s: policies.min_session_expires_s,
            prack: match policies.prack {
                model::PrackPolicy::Off => Prack::Off,
                model::PrackPolicy::Supported => Prack::Supported,
                model::PrackPolicy::Required => Prack::Required,
            },
            early_media: policies.early_media,
            do_not_disturb: match policies.do_not_disturb {
                model::DoNotDisturb::Off => DoNotDisturb::Off,
                model::DoNotDisturb::Busy => DoNotDisturb::Busy,
                model::DoNotDisturb::Unavailable => DoNotDisturb::Unavailable,
            },
            forward_always: policies.forward_always,
            forward_busy: policies.forward_busy,
            forward_no_answer: policies.forward_no_answer,
            forward_after_s: policies.forward_after_s,
            auto_answer: match policies.auto_answer {
                model::AutoAnswer::Never => AutoAnswer::Never,
                model::AutoAnswer::WhenAsked => AutoAnswer::WhenAsked,
                model::AutoAnswer::Always => AutoAnswer::Always,
            },
            joins: match policies.joins {
                model::JoinPolicy::Never => Joins::Never,
                model::JoinPolicy::FromServer => Joins::FromServer,
                model::JoinPolicy::Always => Joins::Always,
            },
            most_calls: policies.most_calls,
            anonymous: policies.anonymous,
            rest: toml::Table::new(),
        }
    }
}
