use super::cipher::Cipher;
use super::derive::{Label, derive};
use super::*;
use crate::packet::RtpHeader;
use proptest::prelude::*;

fn bytes(hexadecimal: &str) -> Vec<u8> {
    let digits: Vec<u32> = hexadecimal.chars().filter_map(|c| c.to_digit(16)).collect();
    let pair = |pair: &[u32]| u8::try_from(pair[0] * 16 + pair[1]).unwrap();
    digits.chunks(2).map(pair).collect()
}

fn master(suite: Suite, fill: u8) -> MasterKey {
    let bytes: Vec<u8> = (0..suite.master_len())
        .map(|n| fill ^ u8::try_from(n).unwrap())
        .collect();
    MasterKey::new(suite, &bytes).unwrap()
}

fn pair(suite: Suite) -> (Protector, Unprotector) {
    let key = master(suite, 0x5A);
    let protector = Protector::new(&key).unwrap();
    (protector, Unprotector::new(&key, &[]).unwrap())
}

fn packet(ssrc: u32, sequence_number: u16) -> Vec<u8> {
    let header = RtpHeader {
        marker: false,
        payload_type: 0,
        sequence_number,
        timestamp: 160 * u32::from(sequence_number),
        ssrc,
    };
    let mut bytes = Vec::with_capacity(300);
    header.write(&[0x55; 160], &mut bytes).unwrap();
    bytes
}

fn report(ssrc: u32) -> Vec<u8> {
    let mut bytes = vec![0x80, 201, 0, 1];
    bytes.extend(ssrc.to_be_bytes());
    bytes.extend([0x81, 202, 0, 1, 1, 2, 3, 4]);
    bytes
}

/// RFC 3711 B.3.
#[test]
fn session_keys_of_aes_128_are_those_of_the_standard() {
    let key = bytes("E1F97A0D3E018BE0D64FA32C06DE4139 0EC675AD498AFEEBB6960B3AABE6");
    let key = MasterKey::new(Suite::AesCm128HmacSha1_80, &key).unwrap();
    check_derived(
        &key,
        "C61E7A93744F39EE10734AFE3FF7A087",
        "30CBBC08863D8C85D49DB34A9AE1",
        "CEBE321F6FF7716B6FD4AB49AF256A156D38BAA4",
    );
}

/// RFC 6188 §7.2.
#[test]
fn session_keys_of_aes_256_are_those_of_the_standard() {
    let key = bytes(
        "f0f04914b513f2763a1b1fa130f10e2998f6f6e43e4309d1e622a0e332b9f1b6
         3b04803de51ee7c96423ab5b78d2",
    );
    let key = MasterKey::new(Suite::AesCm256HmacSha1_80, &key).unwrap();
    check_derived(
        &key,
        "5ba1064e30ec51613cad926c5a28ef731ec7fb397f70a960653caf06554cd8c4",
        "fa31791685ca444a9e07c6c64e93",
        "fd9c32d39ed5fbb5a9dc96b30818454d1313dc05",
    );
}

fn check_derived(key: &MasterKey, encryption: &str, salt: &str, authentication: &str) {
    for (label, expected) in [
        (Label::RtpEncryption, encryption),
        (Label::RtpSalt, salt),
        (Label::RtpAuthentication, authentication),
    ] {
        let expected = bytes(expected);
        let mut made = vec![0; expected.len()];
        derive(key, label, &mut made).unwrap();
        assert_eq!(made, expected);
    }
}

/// The packets by which implementations of RFC 3711 and RFC 6188 compare themselves.
#[test]
fn known_packets_of_counter_mode_come_out_and_are_taken_in() {
    let short = bytes("E1F97A0D3E018BE0D64FA32C06DE4139 0EC675AD498AFEEBB6960B3AABE6");
    let long = bytes(
        "f0f04914b513f2763a1b1fa130f10e2998f6f6e43e4309d1e622a0e332b9f1b6
         3b04803de51ee7c96423ab5b78d2",
    );
    for (suite, key, protected) in [
        (
            Suite::AesCm128HmacSha1_80,
            &short,
            "4e55dc4ce79978d88ca4d215949d2402b78d6acc99ea179b8dbb",
        ),
        (
            Suite::AesCm256HmacSha1_80,
            &long,
            "f1d9de17ff251ff1aa007774b0b4b40da08d9d9a5b3a55d8873b",
        ),
    ] {
        let key = MasterKey::new(suite, key).unwrap();
        let mut plain = bytes("800f1234decafbadcafebabe");
        let expected = [plain.clone(), bytes(protected)].concat();
        plain.extend([0xAB; 16]);
        let mut packet = plain.clone();
        Protector::new(&key)
            .unwrap()
            .protect_rtp(&mut packet)
            .unwrap();
        assert_eq!(packet, expected, "{suite:?}");
        let length = Unprotector::new(&key, &[])
            .unwrap()
            .unprotect_rtp(&mut packet)
            .unwrap();
        assert_eq!(packet[..length], plain);
    }
    let key = MasterKey::new(Suite::AesCm128HmacSha1_80, &short).unwrap();
    let mut plain = bytes("81c8000bcafebabe");
    plain.extend([0xAB; 16]);
    let mut packet = plain.clone();
    let mut protector = Protector::new(&key).unwrap();
    protector.set(0xCAFE_BABE, None, 1);
    protector.protect_rtcp(&mut packet).unwrap();
    let expected = "81c8000bcafebabe7128035be487b9bdbef89041f977a5a880000001993e08cd54d6c1230798";
    assert_eq!(packet, bytes(expected));
    let mut unprotector = Unprotector::new(&key, &[]).unwrap();
    let length = unprotector.unprotect_rtcp(&mut packet).unwrap();
    assert_eq!(packet[..length], plain);
}

/// RFC 7714 §16.1.1, §16.2.1 and §17.1, whose keys are those of the session.
#[test]
fn known_packets_of_gcm_come_out_and_are_taken_in() {
    let salt: [u8; 14] = *bytes("517569642070726f2071756f 0000")
        .first_chunk()
        .unwrap();
    let key: Vec<u8> = (0..32).collect();
    let cipher = |suite: Suite| {
        let key = &key[..suite.key_len()];
        Cipher::new(suite, key, &[0; 20], &salt, 16).unwrap()
    };
    let of = |suite| Protector::of(cipher(suite), cipher(suite));
    let to = |suite| Unprotector::of(cipher(suite), cipher(suite));
    let plain = bytes(
        "8040f17b 8041f8d3 5501a0b2 47616c6c 69612065 7374206f 6d6e6973 20646976
         69736120 696e2070 61727465 73207472 6573",
    );
    for (suite, protected) in [
        (
            Suite::AeadAes128Gcm,
            "8040f17b 8041f8d3 5501a0b2 f24de3a3 fb34de6c acba861c 9d7e4bca be633bd5
             0d294e6f 42a5f47a 51c7d19b 36de3adf 8833899d 7f27beb1 6a9152cf 765ee439 0cce",
        ),
        (
            Suite::AeadAes256Gcm,
            "8040f17b 8041f8d3 5501a0b2 32b1de78 a822fe12 ef9f78fa 332e33aa b1801238
             9a58e2f3 b50b2a02 76ffae0f 1ba63799 b87b7aa3 db36dfff d6b0f9bb 7878d7a7 6c13",
        ),
    ] {
        let mut packet = plain.clone();
        of(suite).protect_rtp(&mut packet).unwrap();
        assert_eq!(packet, bytes(protected), "{suite:?}");
        let length = to(suite).unprotect_rtp(&mut packet).unwrap();
        assert_eq!(packet[..length], plain);
    }
    let plain = bytes(
        "81c8000d 4d617273 4e545031 4e545032 52545020 0000042a 0000e930 4c756e61
         deadbeef deadbeef deadbeef deadbeef deadbeef",
    );
    let mut packet = plain.clone();
    let mut protector = of(Suite::AeadAes128Gcm);
    protector.set(0x4D61_7273, None, 0x5D4);
    protector.protect_rtcp(&mut packet).unwrap();
    let expected = "81c8000d 4d617273 63e94885 dcdab67c a727d766 2f6b7e99 7ff5c0f7 6c06f32d
         c676a5f1 730d6fda 4ce09b46 86303ded 0bb9275b c84aa458 96cf4d2f c5abf872 45d9eade 800005d4";
    assert_eq!(packet, bytes(expected));
    let length = to(Suite::AeadAes128Gcm)
        .unprotect_rtcp(&mut packet)
        .unwrap();
    assert_eq!(packet[..length], plain);
}

#[test]
fn every_suite_carries_packets_and_reports_over_the_wrap_of_the_numbers() {
    for suite in Suite::ALL {
        let (mut protector, mut unprotector) = pair(suite);
        for n in 0..200_000u32 {
            let plain = packet(7, (n % 65_536) as u16);
            let mut wire = plain.clone();
            protector.protect_rtp(&mut wire).unwrap();
            assert_eq!(wire.len(), plain.len() + suite.rtp_tag_len());
            assert!(wire.len() + 4 <= plain.len() + OVERHEAD);
            assert_ne!(wire[12..172], plain[12..]);
            // Every third packet gets lost.
            if n % 3 == 0 {
                continue;
            }
            let length = unprotector.unprotect_rtp(&mut wire).unwrap();
            assert_eq!(wire[..length], plain, "{suite:?} {n}");
            if n % 20_000 == 1 {
                let mut wire = report(7);
                protector.protect_rtcp(&mut wire).unwrap();
                assert!(wire.len() <= report(7).len() + OVERHEAD);
                let length = unprotector.unprotect_rtcp(&mut wire).unwrap();
                assert_eq!(wire[..length], report(7));
            }
        }
    }
}

#[test]
fn a_packet_is_taken_once_and_not_when_it_is_old() {
    for suite in Suite::ALL {
        let (mut protector, mut unprotector) = pair(suite);
        let mut wires: Vec<Vec<u8>> = Vec::new();
        for n in 65_400..65_700u32 {
            let mut wire = packet(7, (n % 65_536) as u16);
            protector.protect_rtp(&mut wire).unwrap();
            wires.push(wire);
        }
        let mut take = |n: usize| unprotector.unprotect_rtp(&mut wires[n].clone());
        // The first to be heard is from behind the wrap: the ones before it were lost.
        assert_eq!(take(200), Ok(172));
        assert_eq!(take(200), Err(SrtpError::Repeated));
        assert_eq!(take(200), Err(SrtpError::Replayed));
        // Late, over the wrap, and within the window of 128.
        assert_eq!(take(100), Ok(172));
        assert_eq!(take(100), Err(SrtpError::Replayed));
        assert_eq!(take(299), Ok(172));
        // Too long ago for a second copy.
        assert_eq!(take(200), Err(SrtpError::Replayed));
        assert_eq!(take(100), Err(SrtpError::Replayed));
        assert_eq!(take(101), Err(SrtpError::Replayed), "too old to tell");
        let mut report = report(7);
        protector.protect_rtcp(&mut report).unwrap();
        assert!(unprotector.unprotect_rtcp(&mut report.clone()).is_ok());
        let again = unprotector.unprotect_rtcp(&mut report);
        assert_eq!(again, Err(SrtpError::Replayed));
    }
}

/// Who forges a copy of what was just heard does not use up that the true one may come again.
#[test]
fn a_second_copy_is_told_from_a_forged_one_and_from_a_third() {
    for suite in Suite::ALL {
        let (mut protector, mut unprotector) = pair(suite);
        for n in 1..40u16 {
            let mut wire = packet(7, n);
            protector.protect_rtp(&mut wire).unwrap();
            let mut take = |wire: &[u8]| unprotector.unprotect_rtp(&mut wire.to_vec());
            assert_eq!(take(&wire), Ok(172));
            let mut forged = wire.clone();
            forged[30] ^= 1;
            assert_eq!(take(&forged), Err(SrtpError::NotGenuine));
            assert_eq!(take(&wire), Err(SrtpError::Repeated));
            assert_eq!(take(&wire), Err(SrtpError::Replayed));
            assert_eq!(take(&forged), Err(SrtpError::Replayed));
        }
    }
}

#[test]
fn a_change_of_any_bit_is_noticed_and_leaves_the_bytes_alone() {
    for suite in Suite::ALL {
        let (mut protector, mut unprotector) = pair(suite);
        let mut wire = packet(7, 1);
        protector.protect_rtp(&mut wire).unwrap();
        let mut reported = report(7);
        protector.protect_rtcp(&mut reported).unwrap();
        for bit in 0..wire.len() * 8 {
            let mut forged = wire.clone();
            forged[bit / 8] ^= 1 << (bit % 8);
            let before = forged.clone();
            let taken = unprotector.unprotect_rtp(&mut forged);
            assert!(taken.is_err(), "{suite:?} bit {bit}: {taken:?}");
            assert_eq!(forged, before);
        }
        // The version and the count of an RTCP packet are authenticated, too.
        for bit in 0..reported.len() * 8 {
            let mut forged = reported.clone();
            forged[bit / 8] ^= 1 << (bit % 8);
            let taken = unprotector.unprotect_rtcp(&mut forged);
            assert!(taken.is_err(), "{suite:?} bit {bit} of the report");
        }
        // None of that was remembered, and the true ones are still welcome.
        assert_eq!(unprotector.source_count(), 0);
        assert_eq!(unprotector.unprotect_rtp(&mut wire), Ok(172));
        assert!(unprotector.unprotect_rtcp(&mut reported).is_ok());
    }
}

#[test]
fn another_key_and_plain_packets_are_refused() {
    for suite in Suite::ALL {
        let (mut protector, _) = pair(suite);
        let mut unprotector = Unprotector::new(&master(suite, 0x11), &[]).unwrap();
        let mut wire = packet(7, 1);
        assert_eq!(
            unprotector.unprotect_rtp(&mut wire.clone()),
            Err(SrtpError::NotGenuine)
        );
        protector.protect_rtp(&mut wire).unwrap();
        assert_eq!(
            unprotector.unprotect_rtp(&mut wire),
            Err(SrtpError::NotGenuine)
        );
        assert!(unprotector.unprotect_rtcp(&mut report(7)).is_err());
    }
}

#[test]
fn a_report_that_is_not_encrypted_is_refused_though_it_is_signed() {
    // RFC 7714 §17.3: authenticated only.
    let salt: [u8; 14] = *bytes("517569642070726f2071756f 0000")
        .first_chunk()
        .unwrap();
    let key: Vec<u8> = (0..16).collect();
    let cipher = || Cipher::new(Suite::AeadAes128Gcm, &key, &[0; 20], &salt, 16).unwrap();
    let mut signed = bytes(
        "81c8000d 4d617273 4e545031 4e545032 52545020 0000042a 0000e930 4c756e61
         deadbeef deadbeef deadbeef deadbeef deadbeef 841dd968 3dd78ec9 2ae58790
         125f62b3 000005d4",
    );
    let taken = Unprotector::of(cipher(), cipher()).unprotect_rtcp(&mut signed);
    assert_eq!(taken, Err(SrtpError::NotEncrypted));
}

#[test]
fn a_number_is_never_used_twice() {
    let (mut protector, _) = pair(Suite::AesCm128HmacSha1_80);
    protector.protect_rtp(&mut packet(7, 10)).unwrap();
    for number in [10, 9] {
        let again = protector.protect_rtp(&mut packet(7, number));
        assert_eq!(again, Err(SrtpError::NumberUsed));
    }
    protector.set(7, Some((1 << 48) - 1), 1 << 31);
    let last = protector.protect_rtp(&mut packet(7, 0));
    assert_eq!(last, Err(SrtpError::KeyUsedUp));
    let last = protector.protect_rtcp(&mut report(7));
    assert_eq!(last, Err(SrtpError::KeyUsedUp));
}

/// RFC 4568 §6.2: the two suites of AES-128 differ in the tag of RTP and in nothing else.
#[test]
fn a_key_is_known_again_by_its_mark_under_whichever_suite() {
    let mark = |suite, fill| Protector::new(&master(suite, fill)).unwrap().mark();
    let (long, short) = (Suite::AesCm128HmacSha1_80, Suite::AesCm128HmacSha1_32);
    let under = |suite| {
        let (mut wire, mut protector) = (packet(7, 1), pair(suite).0);
        protector.protect_rtp(&mut wire).unwrap();
        wire
    };
    assert_eq!(under(long)[..172], under(short)[..172]);
    assert_eq!(mark(long, 1), mark(short, 1));
    for suite in Suite::ALL {
        let marks: Vec<_> = (0..=255).map(|fill| mark(suite, fill)).collect();
        let again = marks.iter().enumerate();
        assert!(again.clone().all(|(n, mark)| !marks[..n].contains(mark)));
        assert_eq!(marks[9], mark(suite, 9));
    }
}

#[test]
fn sources_are_bounded_and_forged_ones_are_not_kept() {
    let (mut protector, mut unprotector) = pair(Suite::AesCm128HmacSha1_80);
    for ssrc in 0..100_000u32 {
        let mut forged = packet(ssrc, 1);
        forged.extend([0; 10]);
        assert!(unprotector.unprotect_rtp(&mut forged).is_err());
    }
    assert_eq!(unprotector.source_count(), 0);
    for ssrc in 0..32 {
        let mut wire = packet(ssrc, 1);
        protector.protect_rtp(&mut wire).unwrap();
        unprotector.unprotect_rtp(&mut wire).unwrap();
    }
    let more = protector.protect_rtp(&mut packet(99, 1));
    assert_eq!(more, Err(SrtpError::TooManySources));
    let (mut wire, mut other) = (packet(99, 1), pair(Suite::AesCm128HmacSha1_80).0);
    other.protect_rtp(&mut wire).unwrap();
    assert_eq!(unprotector.unprotect_rtp(&mut wire), Ok(172));
    assert_eq!(unprotector.source_count(), 32);
}

fn from_source(ssrc: u32, number: u16) -> Vec<u8> {
    let mut wire = packet(ssrc, number);
    let mut protector = pair(Suite::AeadAes128Gcm).0;
    protector.protect_rtp(&mut wire).unwrap();
    wire
}

fn report_of(ssrc: u32, index: u64) -> Vec<u8> {
    let mut wire = report(ssrc);
    let mut protector = pair(Suite::AeadAes128Gcm).0;
    protector.set(ssrc, None, index);
    protector.protect_rtcp(&mut wire).unwrap();
    wire
}

/// RFC 3550 §8.2 and §5.3: a peer, or a mixer behind it, may begin as many sources as it likes, one after the other.
#[test]
fn of_however_many_sources_the_one_that_speaks_is_heard() {
    let mut unprotector = pair(Suite::AeadAes128Gcm).1;
    let room = unprotector.room();
    for ssrc in 0..1_000u32 {
        // The first one goes on all the time, in sound and reports.
        let number = u16::try_from(ssrc).unwrap();
        let mut wire = from_source(0, number + 1);
        assert_eq!(unprotector.unprotect_rtp(&mut wire), Ok(172), "{ssrc}");
        for number in 1..4 {
            let mut wire = from_source(ssrc + 1, number);
            assert_eq!(unprotector.unprotect_rtp(&mut wire), Ok(172), "{ssrc}");
        }
        let mut wire = report_of(ssrc + 1, 0);
        assert_eq!(unprotector.unprotect_rtcp(&mut wire), Ok(16), "{ssrc}");
        // Strangers take nobody's place.
        for stranger in 0..40 {
            let mut forged = from_source(1_000_000 + 40 * ssrc + stranger, 1);
            forged[40] ^= 1;
            assert!(unprotector.unprotect_rtp(&mut forged).is_err());
        }
        let mut again = from_source(ssrc + 1, 3);
        let again = unprotector.unprotect_rtp(&mut again);
        assert_eq!(again, Err(SrtpError::Repeated), "{ssrc}");
    }
    assert_eq!(unprotector.source_count(), 32);
    assert_eq!(unprotector.room(), room);
}

/// RFC 3711 §3.3.2: no packet is taken twice, and the place of a source in the list is no way around that.
#[test]
fn a_source_that_gave_up_its_place_returns_behind_what_it_has_sent() {
    let mut unprotector = pair(Suite::AeadAes128Gcm).1;
    for number in [65_000, 65_001] {
        let mut wire = from_source(7, number);
        assert_eq!(unprotector.unprotect_rtp(&mut wire), Ok(172));
    }
    let mut wire = report_of(7, 5);
    assert_eq!(unprotector.unprotect_rtcp(&mut wire), Ok(16));
    for others in [1_000..1_032u32, 2_000..2_200] {
        for ssrc in others {
            let mut wire = from_source(ssrc, 1);
            assert_eq!(unprotector.unprotect_rtp(&mut wire), Ok(172));
        }
        // Neither what was heard, nor what came late, nor what is as old under either rollover counter.
        for number in [64_000, 64_999, 65_000, 65_001] {
            let again = unprotector.unprotect_rtp(&mut from_source(7, number));
            assert_eq!(again, Err(SrtpError::Replayed), "{number}");
        }
        for index in [4, 5] {
            let again = unprotector.unprotect_rtcp(&mut report_of(7, index));
            assert_eq!(again, Err(SrtpError::Replayed), "{index}");
        }
    }
    // It goes on, over the wrap, too.
    assert_eq!(
        unprotector.unprotect_rtp(&mut from_source(7, 65_002)),
        Ok(172)
    );
    assert_eq!(unprotector.unprotect_rtcp(&mut report_of(7, 6)), Ok(16));
    let mut protector = pair(Suite::AeadAes128Gcm).0;
    protector.set(7, Some(65_535), 0);
    let mut wire = packet(7, 0);
    protector.protect_rtp(&mut wire).unwrap();
    assert_eq!(unprotector.unprotect_rtp(&mut wire), Ok(172));
    let again = unprotector.unprotect_rtp(&mut from_source(7, 65_002));
    assert_eq!(again, Err(SrtpError::Replayed));
}

/// The key after a crowd serves as well as the first, and goes on with the counter of those who speak.
#[test]
fn a_new_key_after_a_crowd_has_room_for_another() {
    let suite = Suite::AeadAes128Gcm;
    let (mut protector, mut unprotector) = pair(suite);
    for number in 65_500..65_540u32 {
        let mut wire = packet(7, (number % 65_536) as u16);
        protector.protect_rtp(&mut wire).unwrap();
        assert_eq!(unprotector.unprotect_rtp(&mut wire), Ok(172));
        let mut other = from_source(number, 1);
        assert_eq!(unprotector.unprotect_rtp(&mut other), Ok(172));
    }
    let key = master(suite, 0x77);
    let mut expecting = Unprotector::new(&key, &[]).unwrap();
    expecting.follow(&unprotector);
    assert!(expecting.source_count() <= 4);
    let mut renewed = Protector::new(&key).unwrap();
    renewed.follow(&protector);
    let mut wire = packet(7, 4);
    renewed.protect_rtp(&mut wire).unwrap();
    assert_eq!(expecting.unprotect_rtp(&mut wire), Ok(172));
    for ssrc in 100..200 {
        let (mut wire, mut other) = (packet(ssrc, 1), Protector::new(&key).unwrap());
        other.protect_rtp(&mut wire).unwrap();
        assert_eq!(expecting.unprotect_rtp(&mut wire), Ok(172));
    }
}

/// RFC 3711 §3.3.1 keeps the rollover counter over a new key; many peers begin at zero.
#[test]
fn a_new_key_is_followed_whether_the_counter_goes_on_or_not() {
    for goes_on in [true, false] {
        let (mut protector, mut unprotector) = pair(Suite::AesCm128HmacSha1_80);
        for n in 65_530..65_546u32 {
            let mut wire = packet(7, (n % 65_536) as u16);
            protector.protect_rtp(&mut wire).unwrap();
            unprotector.unprotect_rtp(&mut wire).unwrap();
        }
        let key = master(Suite::AesCm128HmacSha1_80, 0x77);
        let mut renewed = Protector::new(&key).unwrap();
        if goes_on {
            renewed.follow(&protector);
        }
        let mut expecting = Unprotector::new(&key, &[]).unwrap();
        expecting.follow(&unprotector);
        for n in 10..20 {
            let mut wire = packet(7, n);
            renewed.protect_rtp(&mut wire).unwrap();
            assert_eq!(expecting.unprotect_rtp(&mut wire.clone()), Ok(172));
            let again = expecting.unprotect_rtp(&mut wire.clone());
            assert_eq!(again, Err(SrtpError::Repeated), "{goes_on} {n}");
            let again = expecting.unprotect_rtp(&mut wire);
            assert_eq!(again, Err(SrtpError::Replayed), "{goes_on} {n}");
        }
    }
}

#[test]
fn the_name_of_a_key_is_stepped_over_and_checked() {
    for suite in [Suite::AesCm128HmacSha1_80, Suite::AeadAes128Gcm] {
        let (mut protector, _) = pair(suite);
        let mut unprotector = Unprotector::new(&master(suite, 0x5A), &[0, 7]).unwrap();
        let mut wire = packet(7, 1);
        protector.protect_rtp(&mut wire).unwrap();
        let before_tag = if suite.is_aead() { wire.len() } else { 172 };
        let with = |name: [u8; 2]| {
            let mut wire = wire.clone();
            wire.splice(before_tag..before_tag, name);
            wire
        };
        assert_eq!(
            unprotector.unprotect_rtp(&mut with([0, 8])),
            Err(SrtpError::NotGenuine)
        );
        assert_eq!(unprotector.unprotect_rtp(&mut with([0, 7])), Ok(172));
        let mut reported = report(7);
        protector.protect_rtcp(&mut reported).unwrap();
        let behind_index = if suite.is_aead() {
            reported.len()
        } else {
            16 + 4
        };
        reported.splice(behind_index..behind_index, [0, 7]);
        assert_eq!(unprotector.unprotect_rtcp(&mut reported), Ok(16));
    }
    let key = master(Suite::AeadAes128Gcm, 0);
    assert!(Unprotector::new(&key, &[0; 9]).is_none());
}

#[test]
fn keys_have_their_suites_length_and_are_not_shown() {
    for suite in Suite::ALL {
        for length in 0..60 {
            let key = MasterKey::new(suite, &vec![1; length]);
            assert_eq!(key.is_some(), length == suite.master_len());
        }
        let key = master(suite, 0);
        let shown = format!("{key:?} {:?}", Protector::new(&key));
        assert_eq!(
            shown,
            format!("MasterKey {{ suite: {suite:?}, .. }} Some(Protector {{ .. }})")
        );
    }
}

/// What holds key material wipes it when it goes; this does not compile if a library stops doing so.
#[test]
fn everything_that_holds_a_key_wipes_it() {
    fn wipes<T: zeroize::ZeroizeOnDrop>() {}
    wipes::<zeroize::Zeroizing<[u8; LONGEST_MASTER]>>();
    wipes::<aes::Aes128>();
    wipes::<aes::Aes256>();
    wipes::<aes_gcm::Aes128Gcm>();
    wipes::<aes_gcm::Aes256Gcm>();
    // An `Hmac` is two of these and a buffer of what it authenticates.
    wipes::<sha1::block_api::Sha1Core>();
}

proptest! {
    #[test]
    fn any_bytes_are_refused_and_nothing_panics(bytes in proptest::collection::vec(any::<u8>(), 0..120), n in 0usize..6) {
        let (mut protector, mut unprotector) = pair(Suite::ALL[n]);
        prop_assert!(unprotector.unprotect_rtp(&mut bytes.clone()).is_err());
        prop_assert!(unprotector.unprotect_rtcp(&mut bytes.clone()).is_err());
        let _ = protector.protect_rtp(&mut bytes.clone());
        let _ = protector.protect_rtcp(&mut bytes.clone());
    }

    #[test]
    fn sources_and_extensions_stay_readable(sources in 0u8..16, words in 0u16..40, suite in 0usize..6) {
        let (mut protector, mut unprotector) = pair(Suite::ALL[suite]);
        let mut plain = vec![0x90 | sources, 0, 0, 9, 0, 0, 0, 1, 0, 0, 0, 7];
        plain.extend(vec![3; 4 * usize::from(sources)]);
        plain.extend([0xBE, 0xDE]);
        plain.extend(words.to_be_bytes());
        plain.extend(vec![4; 4 * usize::from(words)]);
        let header = plain.len();
        plain.extend(b"speech");
        let mut wire = plain.clone();
        protector.protect_rtp(&mut wire).unwrap();
        prop_assert_eq!(&wire[..header], &plain[..header]);
        let length = unprotector.unprotect_rtp(&mut wire).unwrap();
        prop_assert_eq!(&wire[..length], &plain[..]);
    }
}
