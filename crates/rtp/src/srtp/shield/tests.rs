//! Keys that are changed while packets go through.

use super::super::{OVERHEAD, Suite};
use super::*;

fn keys(fill: u8, context: u64) -> Security {
    let suite = Suite::AesCm128HmacSha1_80;
    let key = |fill| MasterKey::new(suite, &vec![fill; suite.master_len()]).unwrap();
    Security {
        send: key(fill),
        receive: key(fill + 100),
        receive_mki: Vec::new(),
        context,
    }
}

fn packet(sequence: u16) -> Vec<u8> {
    let mut packet = vec![0x80, 0];
    packet.extend(sequence.to_be_bytes());
    packet.extend([0, 0, 0, 0, 1, 2, 3, 4, 9, 9, 9, 9]);
    packet.reserve(OVERHEAD);
    packet
}

/// RFC 3711 §3.3.1: a new key does not set the counter back. RFC 4568 §7.1.4: another place is another context, which
/// begins at zero; and whoever was not there before knows of no other number.
#[test]
fn the_rollover_counter_goes_on_in_the_same_context_and_begins_at_zero_in_another() {
    for (context, same_place, is_new) in [(0, true, false), (1, true, true), (0, false, true)] {
        let now = Instant::now();
        let first = keys(1, 0);
        let mut shield = Shield::default();
        shield
            .change(now, &mut Renewal::fresh(&first).unwrap(), true)
            .unwrap();
        // Beyond the second time round: a receiver that has heard nothing yet may guess one.
        for sequence in 0..140_000u32 {
            assert!(shield.seal(&mut packet(sequence as u16)));
        }
        let second = keys(2, context);
        let mut renewal = Renewal::new(Some(&first), Some(&second)).unwrap();
        shield.change(now, &mut renewal, same_place).unwrap();
        let mut sealed = packet(140_000u32 as u16);
        assert!(shield.seal(&mut sealed));
        let mut newcomer = Unprotector::new(&second.send, &[]).unwrap();
        let opened = newcomer.unprotect_rtp(&mut sealed);
        assert_eq!(opened.is_ok(), is_new, "{context} {same_place}");
    }
}
