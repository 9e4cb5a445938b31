//! The words of the product: ids, commands, events and view-ready snapshots.
//!
//! The window, the command line, the JSON-RPC socket and the tests all speak to the engine in these
//! types and in no others. Everything a person can ask is a [`Command`]; everything the program can
//! tell is an [`Event`]; an event carries the whole new view of the thing it is about, so a client
//! folds it by replacing, and a client that missed some asks for a [`Snapshot`].
//!
//! These are neither the file format (that is `settings`) nor the wire format (that is
//! `sip-message`), and nothing here reads a clock, a file or a socket.

mod account;
mod call;
mod certificate;
mod command;
mod details;
mod device;
mod ending;
mod event;
mod failure;
mod fold;
mod ids;
mod login;
mod message;
mod policy;
mod quality;
mod sound;
mod system;
mod time;
mod trace;
mod traffic;
mod transfer;
mod watch;

pub use account::{
    AccountSettings, AccountView, BindingView, DtmfMode, FlowView, LoginKind, RegistrationMark,
    RegistrationState, SrtpKeys, SrtpPolicy, TargetState, TargetView, TenantView, Transport,
    VoicePolicy,
};
pub use call::{
    CallState, CallView, Direction, HistoryEntry, MediaDirection, MediaSecurity, Outcome, Party,
    Protection,
};
pub use certificate::{CertificateFault, CertificateView, TrustedCertificate};
pub use command::{Command, DeviceRole, DialogName, Password, SoundTest};
pub use details::{CallDetails, ExtraHeader, Member, MemberState, Redirect, Roster};
pub use device::{CountryView, DeviceView, DevicesView, Volume, VolumeFault};
pub use ending::{Cause, EndedHow, Ending};
pub use event::{
    Answer, Event, Notice, NoticeLevel, Preferences, SecretPlace, SecretsView, Snapshot,
    ThemeChoice,
};
pub use failure::{Failure, FailureKind, NetworkStep, OwedDescription, WayStep};
pub use ids::{AccountId, CallId, DeviceId, QuestionId, TenantId};
pub use login::{Login, LoginFault, LoginPurpose, LoginWanted};
pub use message::{MessageState, MessageView};
pub use policy::{AutoAnswer, CallPolicies, DoNotDisturb, JoinPolicy, PrackPolicy, RedirectPolicy};
pub use privacy::{
    Identity, Private, Sentence, ServerUri, for_log, identities_are_shown, mask_identity,
    mask_sentence, show_identities,
};
pub use quality::{Levels, MediaStats, QualityStep, QualityTrend, Sounded, VoiceQuality};
pub use sound::{Light, Silence, SoundMark, SoundView};
pub use system::{system_words, without_numbers};
pub use time::Timestamp;
pub use trace::{TraceBody, TraceRecord};
pub use traffic::{LimitedSource, Traffic};
pub use transfer::{Transfer, TransferState};
pub use watch::{
    LampCall, LampState, LampView, OwnPresence, PresenceState, PresenceView, WaitingView, WatchKind,
};
