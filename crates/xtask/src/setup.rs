//! System packages: what is missing, installed when we may, else the line to type.

use std::fs;
use std::process::{Command, Stdio};

use crate::shell::{self, Fault, failed, misuse};

/// What a machine must be able to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Need {
    /// Compile everything.
    Build,
    /// Show the window as well.
    Run,
    /// Run every test as well, with the real peers.
    Test,
}

/// `cargo xtask setup [build|run|test]`.
pub(crate) fn setup(args: &[String]) -> Result<(), Fault> {
    let need = match args {
        [] => Need::Test,
        [word] if word == "build" => Need::Build,
        [word] if word == "run" => Need::Run,
        [word] if word == "test" => Need::Test,
        _ => return Err(misuse("setup takes one of build, run, test")),
    };
    ensure(need)
}

/// Makes sure that the packages for `need`, and for all below it, are there.
pub(crate) fn ensure(need: Need) -> Result<(), Fault> {
    let Some(system) = System::detect() else {
        println!(
            "setup: this system's packages are unknown to us; going on. Needed are a C and C++ compiler, \
             CMake, pkg-config, libclang and, on Linux, the ALSA headers."
        );
        return Ok(());
    };
    install(system, need)?;
    if need == Need::Test && system == System::Apt {
        lay_aside("pipewire-alsa");
    }
    Ok(())
}

/// Unpacks a package of Debian's that cannot be installed beside others that are needed: PipeWire's plug-in for ALSA beside
/// PulseAudio. The tests do without it where it cannot be had.
fn lay_aside(package: &str) {
    let dir = shell::peers_dir();
    let mark = dir.join(package);
    if mark.exists() {
        return;
    }
    let unpack = || -> Result<(), Fault> {
        fs::create_dir_all(&dir)?;
        shell::run(words("", &format!("apt-get -qq download {package}")).current_dir(&dir))?;
        for file in shell::files_below(&dir, "deb") {
            shell::run(Command::new("dpkg-deb").arg("-x").arg(&file).arg(&dir))?;
        }
        Ok(fs::write(&mark, "")?)
    };
    if let Err(fault) = unpack() {
        println!("setup: going on without {package}: {fault}");
    }
}

fn install(system: System, need: Need) -> Result<(), Fault> {
    let missing = system.missing(need)?;
    if missing.is_empty() {
        return Ok(());
    }
    let line = format!("{} {}", system.install_line(), missing.join(" "));
    let Some(prefix) = system.may_install() else {
        return Err(failed(&format!(
            "packages are missing and may not be installed from here; run this line, then try again:\n  {}{line}",
            system.advised_prefix(),
        )));
    };
    println!("setup: {prefix}{line}");
    if let Some(refresh) = system.refresh_line() {
        shell::run(&mut words(prefix, refresh))?;
    }
    shell::run(&mut words(prefix, &line))?;
    let still = system.missing(need)?;
    if still.is_empty() {
        Ok(())
    } else {
        Err(failed(&format!(
            "installed, and still missing: {}",
            still.join(" ")
        )))
    }
}

/// The package managers we know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum System {
    /// Debian, Ubuntu and what calls itself like them.
    Apt,
    /// Fedora and what calls itself like it.
    Dnf,
    /// macOS with Homebrew.
    Brew,
}

impl System {
    fn detect() -> Option<Self> {
        if cfg!(target_os = "macos") {
            return Some(Self::Brew);
        }
        let release = fs::read_to_string("/etc/os-release").ok()?;
        Self::from_os_release(&release)
    }

    /// From the text of os-release(5).
    fn from_os_release(release: &str) -> Option<Self> {
        let ids: Vec<String> = release
            .lines()
            .filter_map(|line| line.split_once('='))
            .filter(|(key, _)| matches!(*key, "ID" | "ID_LIKE"))
            .flat_map(|(_, value)| {
                let value = value.trim_matches('"').to_owned();
                value.split(' ').map(str::to_owned).collect::<Vec<_>>()
            })
            .collect();
        if ids.iter().any(|id| id == "debian" || id == "ubuntu") {
            Some(Self::Apt)
        } else if ids.iter().any(|id| id == "fedora") {
            Some(Self::Dnf)
        } else {
            None
        }
    }

    fn packages(self, need: Need) -> Vec<&'static str> {
        let lists = match self {
            Self::Apt => [APT_BUILD, APT_RUN, APT_TEST],
            Self::Dnf => [DNF_BUILD, DNF_RUN, DNF_TEST],
            Self::Brew => [BREW_BUILD, "", BREW_TEST],
        };
        lists
            .into_iter()
            .take(need as usize + 1)
            .flat_map(str::split_whitespace)
            .collect()
    }

    fn missing(self, need: Need) -> Result<Vec<&'static str>, Fault> {
        let wanted = self.packages(need);
        let mut query = match self {
            Self::Apt => words("", "dpkg-query -W -f ${Package}|${Status}\\n"),
            Self::Dnf => words("", "rpm -q --qf %{NAME}|installed\\n"),
            Self::Brew => words("", "brew list --formula -1"),
        };
        if self != Self::Brew {
            query.args(&wanted);
        }
        // The exit status only says that something is missing, which is the question.
        let out = query
            .stderr(Stdio::null())
            .output()
            .map_err(|error| failed(&format!("{}: {error}", shell::show(&query))))?;
        let listing = String::from_utf8_lossy(&out.stdout);
        Ok(wanted
            .into_iter()
            .filter(|package| !is_installed(&listing, package))
            .collect())
    }

    fn refresh_line(self) -> Option<&'static str> {
        (self == Self::Apt).then_some("apt-get -q update")
    }

    fn install_line(self) -> &'static str {
        match self {
            Self::Apt => "apt-get -q install -y --no-install-recommends",
            Self::Dnf => "dnf install -y",
            Self::Brew => "brew install",
        }
    }

    /// What to put before the command, when we may run it at all.
    fn may_install(self) -> Option<&'static str> {
        if self == Self::Brew {
            return shell::has_program("brew").then_some("");
        }
        let is_root = shell::output(Command::new("id").arg("-u")).is_ok_and(|id| id.trim() == "0");
        if is_root {
            return Some("env DEBIAN_FRONTEND=noninteractive ");
        }
        let sudo = shell::has_program("sudo")
            && shell::output(Command::new("sudo").args(["-n", "true"])).is_ok();
        sudo.then_some("sudo -n env DEBIAN_FRONTEND=noninteractive ")
    }

    fn advised_prefix(self) -> &'static str {
        if self == Self::Brew { "" } else { "sudo " }
    }
}

/// Whether a listing of `name|state` or plain `name` lines has the package.
fn is_installed(listing: &str, package: &str) -> bool {
    listing.lines().any(|line| match line.split_once('|') {
        Some((name, state)) => {
            name == package && (state == "installed" || state.ends_with(" ok installed"))
        }
        None => line == package,
    })
}

fn words(prefix: &str, line: &str) -> Command {
    let all = format!("{prefix}{line}");
    let mut parts = all.split(' ').filter(|part| !part.is_empty());
    let mut command = Command::new(parts.next().unwrap_or_default());
    command.args(parts);
    command
}

// libopus is built by CMake and its names are read by libclang; cpal needs the ALSA headers.
const APT_BUILD: &str = "build-essential pkg-config cmake clang libclang-dev libasound2-dev";
// All of these are opened at run time, so nothing links to them and nothing else would ask for them.
const APT_RUN: &str =
    "libegl1 libgl1 libx11-6 libx11-xcb1 libxcursor1 libxi6 libxkbcommon0 libxkbcommon-x11-0";
const APT_TEST: &str = "xvfb xdotool imagemagick mesa-vulkan-drivers dbus-daemon gnome-keyring \
    pulseaudio pulseaudio-utils libasound2-plugins \
    pipewire pipewire-pulse wireplumber sox espeak-ng opus-tools \
    kamailio kamailio-tls-modules kamailio-websocket-modules kamailio-presence-modules \
    kamailio-outbound-modules kamailio-sqlite-modules \
    baresip-core linphone-cli sip-tester coturn tshark dnsmasq-base sqlite3 openssl iproute2 nftables python3 procps";

const DNF_BUILD: &str =
    "gcc gcc-c++ make pkgconf-pkg-config cmake clang clang-devel alsa-lib-devel";
const DNF_RUN: &str = "libglvnd-egl libglvnd-glx libX11 libX11-xcb libXcursor libXi libxkbcommon \
    libxkbcommon-x11 mesa-dri-drivers";
const DNF_TEST: &str = "xorg-x11-server-Xvfb xdotool ImageMagick mesa-vulkan-drivers dbus-daemon \
    gnome-keyring pulseaudio pulseaudio-utils alsa-plugins-pulseaudio pipewire wireplumber sox espeak-ng \
    opus-tools \
    kamailio kamailio-tls kamailio-websocket kamailio-presence \
    kamailio-outbound kamailio-sqlite \
    baresip sipp coturn wireshark-cli dnsmasq sqlite openssl iproute nftables python3 procps-ng";

const BREW_BUILD: &str = "cmake pkgconf llvm";
const BREW_TEST: &str = "sox espeak-ng opus-tools kamailio baresip sipp coturn dnsmasq";

#[cfg(test)]
mod tests {
    use super::{Need, System, is_installed};

    #[test]
    fn systems_are_known_by_themselves_and_by_what_they_are_like() {
        let of = System::from_os_release;
        assert_eq!(of("NAME=x\nID=debian\n"), Some(System::Apt));
        assert_eq!(
            of("ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n"),
            Some(System::Apt)
        );
        assert_eq!(of("ID=nobara\nID_LIKE=\"fedora\"\n"), Some(System::Dnf));
        assert_eq!(of("ID=arch\n"), None);
    }

    #[test]
    fn a_removed_package_with_its_settings_left_is_missing() {
        let listing = "cmake|install ok installed\nsox|deinstall ok config-files\n";
        assert!(is_installed(listing, "cmake"));
        assert!(!is_installed(listing, "sox"));
        assert!(!is_installed(listing, "make"));
    }

    #[test]
    fn a_need_includes_the_needs_below_it() {
        let build = System::Apt.packages(Need::Build);
        let test = System::Apt.packages(Need::Test);
        assert!(build.iter().all(|package| test.contains(package)));
        assert!(test.contains(&"kamailio") && !build.contains(&"kamailio"));
    }
}
