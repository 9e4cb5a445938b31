//! `tipring register`: signs in, stays, signs out.

use engine::CallMedia;

use crate::Outcome;
use crate::cli::{Common, RegisterArgs};
use crate::session::{Session, interrupted, runtime};

pub(crate) fn run(common: &Common, args: &RegisterArgs) -> anyhow::Result<Outcome> {
    runtime()?.block_on(async {
        let mut session = Session::start(common, &args.account, CallMedia::null()).await?;
        let registered = match args.stay {
            Some(time) => tokio::time::timeout(time, session.registered())
                .await
                .unwrap_or(false),
            None => session.registered().await,
        };
        if !registered {
            session.finish().await;
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
