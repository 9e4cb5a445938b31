//! The product's words for the protocol's, and back.

/// The transport as the product calls it.
pub(crate) fn transport(transport: sip_core::Transport) -> model::Transport {
    match transport {
        sip_core::Transport::Udp => model::Transport::Udp,
        sip_core::Transport::Tcp => model::Transport::Tcp,
        sip_core::Transport::Tls => model::Transport::Tls,
        sip_core::Transport::Ws => model::Transport::Ws,
        sip_core::Transport::Wss => model::Transport::Wss,
    }
}

/// The transport as the protocol core calls it.
pub(crate) fn core_transport(transport: model::Transport) -> sip_core::Transport {
    match transport {
        model::Transport::Udp => sip_core::Transport::Udp,
        model::Transport::Tcp => sip_core::Transport::Tcp,
        model::Transport::Tls => sip_core::Transport::Tls,
        model::Transport::Ws => sip_core::Transport::Ws,
        model::Transport::Wss => sip_core::Transport::Wss,
    }
}

/// A registration's state, as notes of the record say it.
pub(crate) fn registration(state: model::RegistrationState) -> &'static str {
    match state {
        model::RegistrationState::Off => "off",
        model::RegistrationState::Trying => "on its way",
        model::RegistrationState::Registered => "registered",
        model::RegistrationState::Refused => "refused",
        model::RegistrationState::Silent => "without an answer",
        model::RegistrationState::Leaving => "signing out",
        model::RegistrationState::Degraded => "degraded",
    }
}
