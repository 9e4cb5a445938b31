//! `tipring register`: signs in, stays, signs out.

use std::time::Duration;

use engine::CallMedia;

use crate::Outcome;
use crate::cli::{Common, RegisterArgs};
use crate::session::{Session, interrupted, runtime};

/// A registration may take so long however short the stay is to be.
const SHORTEST_TRY: Duration = Duration::from_secs(2);

pub(crate) fn run(common: &Common, args: &RegisterArgs) -> anyhow::Result<Outcome> {
    runtime()?.block_on(async {
        let mut session = Session::start(common, &args.account, CallMedia::null()).await?;
        let limit = args.stay.map(|stay| stay.max(SHORTEST_TRY));
        if !session.registered(limit).await {
            session.give_up().await;
            return Ok(Outcome::Failed);
        }
        let stay = async {
            match args.stay {
                Some(time) => tokio::time::sleep(time).await,
                None => std::future::pending().await,
            }
        };
        tokio::pin!(stay);
        loop {
            tokio::select! {
                () = &mut stay => break,
                () = interrupted() => break,
                _ = session.next() => {}
            }
        }
        session.finish().await;
        Ok(Outcome::Done)
    })
}
