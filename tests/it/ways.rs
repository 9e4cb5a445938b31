//! Every way to a server that there is: UDP, TCP, TLS, WebSocket and secure WebSocket over IPv4 and IPv6, with
//! kamailio at the other end. Three phones sign in with two flows, write, call, watch, hold, transfer and sign
//! out by each; the table of it stays as `table.txt`.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::rig::control::Control;
use crate::rig::folder::Folder;
use crate::rig::kamailio::Kamailio;
use crate::rig::peer::{Peer, with_body};
use crate::rig::program::{self, Program, SOON};
use crate::rig::{seconds, until};

const WAYS: [&str; 5] = ["udp", "tcp", "tls", "ws", "wss"];

/// What is done by each way, in this order.
const DEEDS: [&str; 11] = [
    "sign in",
    "two flows",
    "message",
    "waiting messages",
    "call",
    "lamp",
    "hold",
    "resume",
    "blind transfer",
    "attended transfer",
    "sign out",
];

#[test]
fn phones_sign_in_write_watch_call_hold_transfer_and_sign_out_by_every_way() {
    let folder = Folder::new("ways");
    let mut table = format!("{:<5} {:<10}", "way", "address");
    for deed in DEEDS {
        // Writing to a String cannot fail.
        let _ = write!(table, " {deed:>17}");
    }
    table.push('\n');
    // Mostly it is waited: each family has a server and phones of its own, and both go on at once.
    let lanes = [
        IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(Ipv6Addr::LOCALHOST),
    ];
    std::thread::scope(|scope| {
        let running = lanes.map(|host| scope.spawn(move || by_every_way(host)));
        for lane in running {
            match lane.join() {
                Ok(lines) => table.push_str(&lines),
                Err(fault) => std::panic::resume_unwind(fault),
            }
        }
    });
    println!("\n{table}");
    std::fs::write(folder.join("table.txt"), &table).expect("the table can be kept");
}

/// Does everything by every way of one family; gives its lines of the table.
fn by_every_way(host: IpAddr) -> String {
    let family = if host.is_ipv4() { "v4" } else { "v6" };
    let folder = Folder::new(&format!("ways-{family}"));
    let kamailio = Kamailio::with_events(&folder);
    let mut lines = String::new();
    for way in WAYS {
        let took = go(&folder, &kamailio, way, host);
        let _ = write!(lines, "{way:<5} {:<10}", host.to_string());
        for took in took {
            let _ = write!(lines, " {:>14} ms", took.as_millis());
        }
        lines.push('\n');
    }
    lines
}

/// Does everything by one way; gives how long each deed took.
fn go(folder: &Folder, kamailio: &Kamailio, way: &str, host: IpAddr) -> Vec<Duration> {
    let mut took = Vec::new();
    let mut clock = Instant::now();
    let mut done = || {
        took.push(clock.elapsed());
        clock = Instant::now();
    };
    let phone = |address, change: &dyn Fn(&mut Value)| {
        Phone::start(folder, kamailio, address, way, host, change)
    };
    let mut alice = phone("alice@north.test", &|_| {});
    let mut bob = phone("bob@south.test", &|_| {});
    let mut dave = phone("dave@south.test", &|settings| {
        settings["watched"] = json!(["sip:bob@south.test"]);
        settings["watch"] = json!("calls");
    });
    for phone in [&mut alice, &mut bob, &mut dave] {
        phone.registered();
    }
    done();
    for phone in [&mut alice, &mut bob, &mut dave] {
        phone.account("two flows", |account| {
            let flows = account["flows"].as_array()?;
            let stand = flows.iter().all(|flow| flow["state"] == "registered");
            (flows.len() == 2 && stand).then_some(())
        });
    }
    // RFC 5626 §2: each is a connection of its own, and by UDP a socket.
    let log = kamailio.log();
    for user in ["alice@north.test", "bob@south.test", "dave@south.test"] {
        let places = saved_from(&log, user, way);
        assert_eq!(places.len(), 2, "{user} by {way}: {places:?}\n{log}");
    }
    done();

    alice.tell(
        "send_message",
        &json!({"account": alice.account, "to": "sip:bob@south.test", "text": way}),
    );
    bob.control.wait_for("a message", SOON, |state| {
        let came = |message: &Value| message["direction"] == "incoming" && message["text"] == way;
        state["messages"].as_array()?.iter().any(came).then_some(())
    });
    alice
        .control
        .wait_for("word that it arrived", SOON, |state| {
            let mut messages = state["messages"].as_array()?.iter();
            messages
                .any(|message| message["state"] == "delivered")
                .then_some(())
        });
    done();

    // Another count each time, so that no old one is taken for the new.
    let waiting = 1 + WAYS.iter().position(|known| *known == way).unwrap_or(0) as u32;
    let waiting = if host.is_ipv4() {
        waiting
    } else {
        waiting + 10
    };
    publish_waiting(kamailio, waiting);
    alice.account("waiting messages", |account| {
        (account["waiting"]["new"] == waiting).then_some(())
    });
    done();

    // Alice calls Bob.
    let with_bob = alice.dial("sip:bob@south.test");
    let with_alice = bob.pick_up();
    alice.talks(&with_bob);
    bob.talks(&with_alice);
    done();
    dave.account("a lamp that says that bob talks", |account| {
        (account["lamps"][0]["lamp"] == "talking").then_some(())
    });
    done();

    alice.tell("hold_call", &json!({"call": with_bob}));
    bob.until("a held call", |call| {
        (call["id"] == with_alice && call["held_by_peer"] == true).then_some(())
    });
    alice.until("a call on hold", |call| {
        (call["id"] == with_bob && call["state"] == "held").then_some(())
    });
    done();
    alice.tell("resume_call", &json!({"call": with_bob}));
    alice.talks(&with_bob);
    bob.talks(&with_alice);
    done();

    // Alice sends Bob to Dave.
    alice.tell(
        "transfer_call",
        &json!({"call": with_bob, "target": "sip:dave@south.test"}),
    );
    let with_dave = bob.follow(&with_alice);
    let with_bob_too = dave.pick_up();
    bob.talks(&with_dave);
    dave.talks(&with_bob_too);
    alice.is_over(&with_bob);
    bob.is_over(&with_alice);
    done();

    // Dave calls Alice and connects her with Bob.
    dave.tell("hold_call", &json!({"call": with_bob_too}));
    let with_alice = dave.dial("sip:alice@north.test");
    let with_dave_again = alice.pick_up();
    dave.talks(&with_alice);
    dave.tell(
        "connect_calls",
        &json!({"call": with_bob_too, "other": with_alice}),
    );
    let at_last = bob.follow(&with_dave);
    bob.talks(&at_last);
    let with_bob = alice.pick_up_unasked(&with_dave_again);
    alice.talks(&with_bob);
    dave.is_over(&with_alice);
    dave.is_over(&with_bob_too);
    alice.is_over(&with_dave_again);
    alice.tell("end_call", &json!({"call": with_bob}));
    bob.is_over(&at_last);
    done();

    for phone in [&mut alice, &mut bob, &mut dave] {
        phone.sign_out();
    }
    done();
    check_log(&kamailio.log(), way);
    took
}

/// A mailbox tells kamailio how many messages wait for Alice (RFC 3842, RFC 3903).
fn publish_waiting(kamailio: &Kamailio, count: u32) {
    let mailbox = Peer::new();
    let own = mailbox.port;
    let body = format!(
        "Messages-Waiting: yes\r\nMessage-Account: sip:alice@north.test\r\nVoice-Message: {count}/8 (0/2)\r\n"
    );
    let request = with_body(
        format!(
            "PUBLISH sip:alice@north.test SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:{own};branch=z9hG4bKmwi{own};rport\r\n\
             Max-Forwards: 70\r\nFrom: <sip:alice@north.test>;tag=m{own}\r\nTo: <sip:alice@north.test>\r\n\
             Call-ID: mailbox-{own}\r\nCSeq: 1 PUBLISH\r\nEvent: message-summary\r\nExpires: 600\r\n"
        ),
        &format!("Content-Type: application/simple-message-summary\r\n\r\n{body}"),
    );
    let to = SocketAddr::from((Ipv4Addr::LOCALHOST, kamailio.port));
    mailbox.send(to, &request);
    mailbox.wait("SIP/2.0 200");
}

/// The addresses and ports that registrations of a user came from by this way.
fn saved_from<'a>(log: &'a str, user: &str, way: &str) -> BTreeSet<&'a str> {
    let begin = format!("SAVED sip:{user} at ");
    let end = format!("/{way}");
    let places = log.lines().filter_map(|line| {
        let (_, place) = line.split_once(begin.as_str())?;
        place.trim_end().strip_suffix(end.as_str())
    });
    places.collect()
}

/// Everything went by this way, and each signed out.
fn check_log(log: &str, way: &str) {
    let seen = |method: &str, user: &str| {
        log.lines().any(|line| {
            line.contains(&format!("SEEN {method} "))
                && line.contains(user)
                && line.ends_with(&format!("/{way}"))
        })
    };
    for (method, user) in [
        ("REGISTER", "bob@south.test"),
        ("INVITE", "alice@north.test"),
        ("REFER", "alice@north.test"),
        ("REFER", "dave@south.test"),
        ("NOTIFY", "bob@south.test"),
        ("BYE", "alice@north.test"),
    ] {
        assert!(seen(method, user), "no {method} of {user} by {way}\n{log}");
    }
    for user in ["alice@north.test", "bob@south.test", "dave@south.test"] {
        until(&format!("{user} to be signed out"), SOON, || {
            let last = log
                .lines()
                .rfind(|line| line.contains("SEEN REGISTER") && line.contains(user));
            last.filter(|line| line.contains(" for 0 ")).map(drop)
        });
    }
}

/// One of the three, driven over its control socket.
struct Phone {
    control: Control,
    account: Value,
    _program: Program,
}

impl Phone {
    fn start(
        folder: &Folder,
        kamailio: &Kamailio,
        address: &str,
        way: &str,
        host: IpAddr,
        change: impl FnOnce(&mut Value),
    ) -> Self {
        let family = if host.is_ipv4() { "v4" } else { "v6" };
        let user = address.split('@').next().unwrap_or_default();
        let name = format!("{user}-{way}-{family}");
        let home = folder.inner(&name);
        let socket = home.join("control");
        let mut command = program::command(&home);
        command.args([
            "headless", "--echo", "--audio", "null", "--json", "--config",
        ]);
        command
            .arg(home.join("settings"))
            .arg("--control")
            .arg(&socket);
        let program = Program::spawn(folder, &name, &mut command);
        let mut control = Control::connect(&socket);
        let mut settings = kamailio.settings_at(address, way, host);
        settings["flows"] = json!(2);
        change(&mut settings);
        control.call(
            "add_account",
            &json!({"password": "secret", "settings": settings}),
        );
        Self {
            control,
            account: Value::Null,
            _program: program,
        }
    }

    fn tell(&mut self, method: &str, params: &Value) {
        self.control.call(method, params);
    }

    fn registered(&mut self) {
        self.account = self.control.wait_for("registration", SOON, |state| {
            let account = state["accounts"].as_array()?.first()?;
            (account["state"] == "registered").then(|| account["id"].clone())
        });
    }

    /// Looks at the account until it is as wanted.
    fn account(&mut self, what: &str, find: impl Fn(&Value) -> Option<()>) {
        self.control.wait_for(what, seconds(15), |state| {
            find(state["accounts"].as_array()?.first()?)
        });
    }

    fn sign_out(&mut self) {
        self.tell("unregister", &json!({"account": self.account}));
        self.control
            .wait_for("the end of the registration", SOON, |state| {
                (state["accounts"][0]["state"] == "off").then_some(())
            });
    }

    /// Looks at each call until one is as wanted.
    fn until<T>(&mut self, what: &str, find: impl Fn(&Value) -> Option<T>) -> T {
        self.control.wait_for(what, seconds(15), |state| {
            state["calls"].as_array()?.iter().find_map(&find)
        })
    }

    /// Calls somebody; gives the call.
    fn dial(&mut self, target: &str) -> Value {
        let newest = self.newest();
        self.tell(
            "place_call",
            &json!({"account": self.account, "target": target}),
        );
        self.until("a call that goes out", |call| {
            (call["id"].as_u64() > newest).then(|| call["id"].clone())
        })
    }

    /// Takes the call that rings.
    fn pick_up(&mut self) -> Value {
        let call = self.until("a call that rings", |call| {
            let rings = call["direction"] == "incoming" && call["state"] == "ringing";
            rings.then(|| call["id"].clone())
        });
        self.tell("answer_call", &json!({"call": call}));
        call
    }

    /// The call that takes the place of another one; it may be taken by itself.
    fn pick_up_unasked(&mut self, old: &Value) -> Value {
        let old = old.as_u64();
        let call = self.until("a call in place of another", |call| {
            let comes = call["direction"] == "incoming" && call["id"].as_u64() > old;
            comes.then(|| call.clone())
        });
        if call["state"] == "ringing" {
            self.tell("answer_call", &json!({"call": call["id"]}));
        }
        call["id"].clone()
    }

    /// Agrees to call whom the peer of this call names; gives the new call.
    fn follow(&mut self, call: &Value) -> Value {
        self.until("word of a transfer", |seen| {
            (seen["id"] == *call && seen["transfer"]["kind"] == "wanted").then_some(())
        });
        self.tell("answer_transfer", &json!({"call": call, "accept": true}));
        self.until("the call to go elsewhere", |seen| {
            let follows = seen["id"] == *call && seen["transfer"]["kind"] == "following";
            follows.then(|| seen["transfer"]["call"].clone())
        })
    }

    /// Waits until the call is up and sound comes.
    fn talks(&mut self, call: &Value) {
        let heard = |seen: &Value| {
            let is_up = seen["id"] == *call && seen["state"] == "connected";
            is_up.then(|| seen["stats"]["received"].as_u64().unwrap_or(0))
        };
        let before = self.until("a call that is up", heard);
        self.until("sound", |seen| {
            heard(seen).filter(|count| *count > before + 10)
        });
    }

    fn is_over(&mut self, call: &Value) {
        self.until("the end of a call", |seen| {
            (seen["id"] == *call && seen["state"] == "ended").then_some(())
        });
    }

    fn newest(&mut self) -> Option<u64> {
        let state = self.control.snapshot();
        let calls = state["calls"].as_array()?.iter();
        calls.filter_map(|call| call["id"].as_u64()).max()
    }
}
