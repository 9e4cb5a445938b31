//! Sans-IO SIP: transactions, dialogs and calls, registration, digest, dispatch.
