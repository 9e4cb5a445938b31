//! Configuration with migrations, secrets and the call history.
