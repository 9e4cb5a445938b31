//! Finding a way through NAT, without sockets and clocks.
//!
//! [`stun`] asks where others see us and answers who asks us, on the ports of SIP and of media alike;
//! [`reach`] says which addresses only a neighbour can reach; [`turn`] has packets carried by a relay;
//! [`ice`] finds out which of several ways works.

pub mod ice;
mod message;
pub mod reach;
pub mod stun;
pub mod turn;
