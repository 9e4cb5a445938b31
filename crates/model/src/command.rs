//! Everything a client can ask of the engine.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    AccountId, AccountSettings, CallId, DeviceId, Identity, Login, MediaDirection, Preferences,
    PresenceState, Private, QuestionId, TenantId, Volume,
};

/// A password on its way to the secret store. Prints as `Password(…)`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Password(pub String);

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

impl Drop for Password {
    fn drop(&mut self) {
        // Overwritten in place; the optimiser may not remove a write that `black_box` looks at.
        let mut bytes = std::mem::take(&mut self.0).into_bytes();
        bytes.fill(0);
        std::hint::black_box(&bytes);
    }
}

fn yes() -> bool {
    true
}

/// Which device of a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeviceRole {
    /// The microphone.
    Capture,
    /// The speaker.
    Playout,
    /// What rings; where none is chosen, it is the speaker.
    Ringer,
}

/// What is heard while devices are tried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SoundTest {
    /// This phone rings, where it would.
    #[default]
    Ring,
    /// A sentence is said at the speaker.
    Sentence,
    /// What the microphone hears comes back a moment later.
    Loop,
}

/// A dialog at another phone, as its dialog-info names it (RFC 4235).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct DialogName {
    /// Its Call-ID.
    pub call_id: String,
    /// The tag of the watched phone.
    pub local_tag: String,
    /// The tag of whoever it speaks with.
    pub remote_tag: String,
}

/// Everything a person, a script or a test can ask. Sent without waiting; the answer is the events
/// that follow.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum Command {
    /// Make a tenant.
    AddTenant {
        /// Its name.
        name: String,
    },
    /// Rename or recolour a tenant.
    UpdateTenant {
        /// Which tenant.
        tenant: TenantId,
        /// Its name.
        name: String,
        /// Index into the theme's tenant colours.
        colour: u8,
    },
    /// Choose the local address of those accounts of a tenant that name none of their own.
    SetTenantBind {
        /// Which tenant.
        tenant: TenantId,
        /// `IP`, `IP:PORT`, or the name of a network interface; `None` is any address.
        bind: Option<String>,
    },
    /// Trust a certificate for a host, whatever is wrong with it, and try again with it. Another one
    /// there is an alarm from then on.
    TrustCertificate {
        /// For which tenant.
        tenant: TenantId,
        /// The name of the server, as a failure's certificate has it.
        host: String,
        /// SHA-256 over the certificate: 64 hexadecimal digits, with or without colons.
        fingerprint: String,
    },
    /// Trust no certificate for a host but those that the roots vouch for.
    ForgetCertificate {
        /// For which tenant.
        tenant: TenantId,
        /// The name of the server.
        host: String,
    },
    /// Remove a tenant with its accounts, secrets and history.
    RemoveTenant {
        /// Which tenant.
        tenant: TenantId,
    },
    /// Make an account, and the first tenant with it when `tenant` is `None` and there is none.
    AddAccount {
        /// Whose account it becomes; `None` is the first tenant.
        tenant: Option<TenantId>,
        /// Its settings.
        settings: Box<AccountSettings>,
        /// Its password, kept in the secret store.
        password: Option<Password>,
    },
    /// Change an account; a registration starts anew, unless all that changes is its name in lists or what
    /// it does with calls.
    UpdateAccount {
        /// Which account.
        account: AccountId,
        /// Its new settings.
        settings: Box<AccountSettings>,
        /// A new password; `None` keeps the old one.
        password: Option<Password>,
    },
    /// Keep this password for the relay of an account's media, whose user the settings name.
    SetRelayPassword {
        /// Which account.
        account: AccountId,
        /// The password, kept in the secret store.
        password: Password,
    },
    /// Give an account one more login, or another password for it.
    SetLogin {
        /// Which account.
        account: AccountId,
        /// What it is for, and the user name.
        login: Login,
        /// Its password; `None` keeps the one that is kept.
        password: Option<Password>,
    },
    /// Take such a login away, with its password.
    RemoveLogin {
        /// Which account.
        account: AccountId,
        /// The realm that it is for.
        realm: Option<String>,
        /// The server that it is for.
        server: Option<String>,
    },
    /// Give the login that somebody asks for ([`crate::Event::LoginWanted`]): what waits goes on with it. Nobody else
    /// gets it who asks in the same name, unless it is the same server.
    AnswerLogin {
        /// Which question is answered.
        question: QuestionId,
        /// The user name; `None` is the one of the question.
        user: Option<Identity>,
        /// The password.
        password: Password,
        /// Whether to use it for this realm from now on, and have it kept.
        #[serde(default = "yes")]
        keep: bool,
    },
    /// Give no login to whoever asks for one: what waits has failed.
    DeclineLogin {
        /// Which question is answered.
        question: QuestionId,
    },
    /// Sign out, then remove the account and its secret.
    RemoveAccount {
        /// Which account.
        account: AccountId,
    },
    /// Sign in now, whatever the back-off says.
    Register {
        /// Which account.
        account: AccountId,
    },
    /// Sign out and stay out.
    Unregister {
        /// Which account.
        account: AccountId,
    },
    /// Ask the registrar for everything that is registered under the account's address; it is shown
    /// as [`crate::AccountView::bindings`].
    ListBindings {
        /// Which account.
        account: AccountId,
    },
    /// Remove one binding of somebody else under the account's address.
    RemoveBinding {
        /// Which account.
        account: AccountId,
        /// Its URI, as it is listed.
        uri: Identity,
    },
    /// Remove everything that is registered under the account's address, those of other phones
    /// included; then sign in anew if we were.
    ClearBindings {
        /// Which account.
        account: AccountId,
    },
    /// Send a text message; what becomes of it is shown as [`crate::Event::Message`].
    SendMessage {
        /// With which account.
        account: AccountId,
        /// To whom; written like the target of a call.
        to: Identity,
        /// What it says.
        text: Private,
    },
    /// The messages of an account were read.
    MarkMessagesRead {
        /// Which account.
        account: AccountId,
        /// Only those that came from this address, as [`crate::MessageView::remote`] has it; `None` is
        /// all of them.
        #[serde(default)]
        from: Option<Identity>,
    },
    /// Forget the messages of an account.
    ClearMessages {
        /// Which account.
        account: AccountId,
    },
    /// Choose what accounts that publish presence tell of their person.
    SetPresence {
        /// Which account; `None` is all of them.
        account: Option<AccountId>,
        /// What to tell.
        state: PresenceState,
        /// A sentence that goes with it; empty for none.
        #[serde(default)]
        note: Private,
    },
    /// Call somebody.
    PlaceCall {
        /// With which account.
        account: AccountId,
        /// A number, a name at the account's domain, `user@host`, or a `sip:`/`tel:` URI.
        target: Identity,
        /// Headers for this call only, `Name: value`.
        #[serde(default)]
        headers: Vec<Private>,
        /// Which way media is to flow, as long as nothing else is asked for.
        #[serde(default, skip_serializing_if = "MediaDirection::is_both")]
        direction: MediaDirection,
    },
    /// Call whom the account called last.
    Redial {
        /// Which account.
        account: AccountId,
    },
    /// Take a call that rings at another phone (RFC 3891).
    PickUp {
        /// With which account.
        account: AccountId,
        /// Who calls there; written like the target of a call.
        target: Identity,
        /// The call, as that phone names it.
        dialog: DialogName,
    },
    /// Join a call that another phone has (RFC 3911), where that phone allows it: all hear each other then.
    JoinIn {
        /// With which account.
        account: AccountId,
        /// Whose phone it is; written like the target of a call.
        target: Identity,
        /// The call, as that phone names it.
        dialog: DialogName,
    },
    /// Call one of the places that a call of ours was sent to.
    FollowRedirect {
        /// Which call.
        call: CallId,
        /// Its place among [`crate::Redirect::targets`], from 0.
        target: u32,
    },
    /// Call none of them.
    DeclineRedirect {
        /// Which call.
        call: CallId,
    },
    /// Answer an incoming call. Other calls that are up are held first.
    AnswerCall {
        /// Which call.
        call: CallId,
    },
    /// Decline an incoming call.
    RejectCall {
        /// Which call.
        call: CallId,
        /// SIP status to say; `None` is 486 (busy here).
        code: Option<u16>,
    },
    /// Hang up, cancel, or decline: whatever ends it now.
    EndCall {
        /// Which call.
        call: CallId,
    },
    /// Hold a call.
    HoldCall {
        /// Which call.
        call: CallId,
    },
    /// Take a call off hold. Other calls that are up are held first.
    ResumeCall {
        /// Which call.
        call: CallId,
    },
    /// Ask for media in these directions only, whatever the peer offers: before an answer with the answer, in a call
    /// with an offer of ours (RFC 3264 §6.1, §8).
    SetDirection {
        /// Which call.
        call: CallId,
        /// Which way media is to flow.
        direction: MediaDirection,
    },
    /// Cut our microphone off from a call, or connect it again.
    MuteCall {
        /// Which call.
        call: CallId,
        /// Whether it is to be cut off.
        muted: bool,
    },
    /// Record both sides of a call into a file of the folder for recordings, or end that. Where the account asks for it
    /// both hear a tone. [`crate::CallDetails::recording`] says where the file is while it is written.
    RecordCall {
        /// Which call.
        call: CallId,
        /// Whether it is to be recorded.
        on: bool,
    },
    /// Play a WAV file into a call, in place of the microphone and once, or end that. [`crate::CallDetails::playing`] says which
    /// while it is heard. Who is on hold is played nothing.
    PlayFile {
        /// Which call.
        call: CallId,
        /// The file; none ends what is played.
        file: Option<String>,
    },
    /// Send digits, one after the other.
    SendDtmf {
        /// Which call.
        call: CallId,
        /// `0`–`9`, `*`, `#`, `A`–`D`; other characters are passed over.
        digits: Private,
    },
    /// Ask the peer of a call to call somebody else instead: a blind transfer.
    TransferCall {
        /// Which call.
        call: CallId,
        /// Whom it is to call; written like the target of a call.
        target: Private,
    },
    /// Connect the peers of two calls of one tenant with each other and leave both: an attended transfer.
    ConnectCalls {
        /// Whose peer is asked to call the other one.
        call: CallId,
        /// Whose peer it is to reach.
        other: CallId,
    },
    /// Bring calls of one tenant together: the person and all their peers hear each other. Calls on hold are taken off
    /// it; where one of them is in a conference already, the others come to that one.
    JoinCalls {
        /// Which calls, two or more.
        calls: Vec<CallId>,
    },
    /// Encrypt what we send in a call with another key from now on; the peer is told it by a new offer.
    RenewKeys {
        /// Which call; its media is encrypted.
        call: CallId,
    },
    /// Take a call out of its conference. It is held then, for the person goes on talking to the others.
    LeaveConference {
        /// Which call.
        call: CallId,
    },
    /// Decide about the transfer that the peer of a call asks for.
    AnswerTransfer {
        /// Which call.
        call: CallId,
        /// Whether to call whom it names.
        accept: bool,
    },
    /// Put an ended call away.
    DismissCall {
        /// Which call.
        call: CallId,
    },
    /// Ask a peer what it can do; the answer comes as [`crate::Event::OptionsAnswered`].
    SendOptions {
        /// With which account.
        account: AccountId,
        /// Whom to ask; written like the target of a call.
        target: Identity,
    },
    /// Send a request of any method that begins no call, unknown ones included; the answer comes as
    /// [`crate::Event::RequestAnswered`].
    SendRequest {
        /// With which account.
        account: AccountId,
        /// The method as it is to stand in the request line: any token but INVITE, ACK, CANCEL and
        /// PRACK. Upper and lower case differ (RFC 3261 §7.1).
        method: String,
        /// Where to; written like the target of a call.
        target: Identity,
        /// Headers to add, `Name: value`.
        #[serde(default)]
        headers: Vec<Private>,
        /// What its body is, as in Content-Type; `text/plain` when nothing is said.
        #[serde(default)]
        content_type: Option<String>,
        /// Its body; nothing when empty.
        #[serde(default)]
        body: Private,
    },
    /// Choose a sound device.
    ChooseDevice {
        /// Microphone, speaker, or what rings.
        role: DeviceRole,
        /// Which; `None` follows the system's default.
        device: Option<DeviceId>,
    },
    /// Set how loud the speaker and the microphone are, at once, also in a call.
    SetVolume {
        /// Of everything that the speaker plays; `None` leaves it.
        #[serde(default)]
        speaker_percent: Option<Volume>,
        /// Of what the microphone hears; `None` leaves it.
        #[serde(default)]
        microphone_percent: Option<Volume>,
    },
    /// Choose the country whose tones are heard: ringing, busy and the like.
    ChooseTones {
        /// Its two letters, one of [`crate::DevicesView::tones`]; `None` is that of the system's language.
        country: Option<String>,
    },
    /// Look for sound devices again.
    RefreshDevices,
    /// Open the chosen devices without a call: something is heard, and what the microphone gives can be seen; or shut them again. It ends by itself after half a minute, and when a call comes or goes out.
    TestSound {
        /// Whether to begin.
        on: bool,
        /// What is heard.
        #[serde(default)]
        with: SoundTest,
    },
    /// Forget the history of a tenant.
    ClearHistory {
        /// Which tenant.
        tenant: TenantId,
    },
    /// Tell how a finished call sounded, second by second: [`crate::Event::Quality`].
    ReadQuality {
        /// Its line in the history.
        entry: i64,
    },
    /// Keep what the user chose about the window.
    SetPreferences {
        /// All of it.
        preferences: Preferences,
    },
    /// Open the encrypted file of passwords, or make it when there is none; accounts that waited for
    /// their password sign in.
    UnlockSecrets {
        /// Its passphrase.
        passphrase: Password,
    },
    /// Open the key of an account's certificate, which is under a passphrase; that is kept where passwords
    /// are. Another passphrase than the right one is a notice, and nothing changes.
    SetKeyPassphrase {
        /// Which account.
        account: AccountId,
        /// The passphrase of its `tls_key`.
        passphrase: Password,
    },
    /// Ask for [`crate::Event::Resync`].
    Snapshot,
    /// Hang up, sign out, and end.
    Shutdown,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_never_prints() {
        let command = Command::AddAccount {
            tenant: None,
            settings: Box::new(AccountSettings::new("sip:alice@example.com")),
            password: Some(Password("s3cret".to_owned())),
        };
        assert!(!format!("{command:?}").contains("s3cret"));
    }
}
