//! How loud the speaker and the microphone are, by what goes through the pump.

use std::io::{self, Read};
use std::time::Instant;

use media::PumpHandle;

use super::*;

/// A sine of a quarter of full scale, for ever: 300 Hz, 16 bits at 48 kHz.
struct Sine(usize);

impl Read for Sine {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let whole = bytes.len() / 2 * 2;
        for pair in bytes[..whole].chunks_exact_mut(2) {
            let angle = self.0 as f32 * std::f32::consts::TAU / 160.0;
            pair.copy_from_slice(&((angle.sin() * 8_192.0) as i16).to_le_bytes());
            self.0 = (self.0 + 1) % 160;
        }
        Ok(whole)
    }
}

/// Waits until both levels, root mean square, are these within a tenth.
async fn until_levels(pump: &PumpHandle, what: &str, capture: f32, playout: f32) {
    let began = Instant::now();
    let near = |level: f32, wanted: f32| (level - wanted).abs() <= wanted * 0.1;
    loop {
        let counters = pump.counters();
        let levels = (counters.capture_level(), counters.playout_level());
        if near(levels.0, capture) && near(levels.1, playout) {
            return println!("{what}: {levels:?}");
        }
        assert!(
            began.elapsed() < Duration::from_secs(20),
            "{what}: {levels:?}"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn speaker_and_microphone_are_as_loud_as_was_chosen_from_the_start_and_at_once_when_told() {
    /// Of the sine.
    const LEVEL: f32 = 0.25 * std::f32::consts::FRAC_1_SQRT_2;
    let (hub, pump) = (Hub::new(), PumpHandle::start().expect("a pump"));
    let args = DevicesArgs {
        hub: Arc::clone(&hub),
        means: Means {
            sound: Arc::new(System),
            pump: pump.clone(),
            patience: Duration::from_secs(5),
        },
        hardware: false,
        capture: None,
        playout: None,
        ringer: None,
        speaker_volume: Volume::nearest(50),
        microphone_gain: Volume::nearest(80),
        tones: None,
    };
    let _pipe = audio::pipe(Sine(0), io::sink(), &pump).expect("a pipe");
    let played = (0..48_000 * 30).map(|n| 0.25 * (n as f32 * std::f32::consts::TAU / 160.0).sin());
    let played = Trial::Play(played.collect());
    pump.try_devices(Some(played)).expect("it listens");
    until_levels(&pump, "as it comes", LEVEL, LEVEL).await;
    let (actor, _) = Actor::spawn(None, DevicesActor, args)
        .await
        .expect("it starts");
    until_levels(&pump, "as chosen", 0.8 * LEVEL, 0.5 * LEVEL).await;
    let set = |speaker: Option<i64>, microphone: Option<i64>| {
        let (speaker, microphone) = (
            speaker.map(Volume::nearest),
            microphone.map(Volume::nearest),
        );
        let message = DevicesMsg::SetVolume {
            speaker,
            microphone,
        };
        actor.cast(message).expect("it listens");
    };
    set(Some(200), None);
    until_levels(&pump, "a louder speaker", 0.8 * LEVEL, 2.0 * LEVEL).await;
    set(None, Some(150));
    until_levels(&pump, "a louder microphone", 1.5 * LEVEL, 2.0 * LEVEL).await;
    let shown = hub.read(|state| (state.devices.speaker_volume, state.devices.microphone_gain));
    assert_eq!(shown, (Volume::nearest(200), Volume::nearest(150)));
    set(Some(0), Some(0));
    until_levels(&pump, "silence", 0.0, 0.0).await;
    set(Some(100), Some(100));
    until_levels(&pump, "as it comes again", LEVEL, LEVEL).await;
    actor.stop(None);
    pump.shutdown();
}
