//! The screens as they are drawn, and what a click or a key on them asks for.
//!
//! Pictures are rendered by a software Vulkan driver (Mesa's lavapipe) and compared with those in
//! `snapshots/`; `UPDATE_SNAPSHOTS=1` writes them anew.

mod accounts;
mod asking;
mod behaviour;
mod calls;
mod conference;
mod messages;
mod pictures;
mod scene;
mod sound;
mod traffic;
mod transfers;
