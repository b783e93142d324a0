//! What a capture service needs, read from its configuration.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use silentmon_capture_io::feed::OpenSource;

use super::{Plan, Report, confine_service};
use crate::config::Schema;
use crate::config::capture::{CaptureConfig, SourceTable};

/// What the system tells of network interfaces; the entries are links.
const INTERFACES: &str = "/sys/class/net";
/// Where the C library looks for names: its files, and those that they are links to, and its modules.
const NAMES: [&str; 7] = [
    "/etc",
    "/run/systemd/resolve",
    "/run/NetworkManager",
    "/run/resolvconf",
    "/usr/lib",
    "/lib",
    "/lib64",
];
/// DNS over TCP, for answers that are too long for a datagram (RFC 7766).
const DNS: u16 = 53;

/// Confines the capture service to what its configuration names, before it hears from anybody.
pub fn confine(path: &Path, config: &CaptureConfig, source: &OpenSource) -> Report {
    let opened = files(path, config);
    let mut read = folders(&opened);
    if let SourceTable::Interface { interface } = &config.capture.source {
        read.extend(std::fs::canonicalize(Path::new(INTERFACES).join(interface)));
    }
    let places = config.dialled();
    let mut dialled: Vec<_> = places.iter().map(|place| place.port).collect();
    if config.cluster.has_names() || places.iter().any(|place| place.host.parse::<IpAddr>().is_err()) {
        read.extend(NAMES.map(PathBuf::from));
        dialled.push(DNS);
    }
    confine_service(&Plan {
        opened,
        read,
        written: vec![folder(&config.audit.path)],
        listened: config.listened().iter().map(SocketAddr::port).collect(),
        dialled,
        kernel_filter_fails: &|| source.kernel_filter_fails(),
    })
}

/// All files that the configuration names, and its own.
fn files(path: &Path, config: &CaptureConfig) -> Vec<PathBuf> {
    let mut files = vec![path.to_owned()];
    config.clone().visit_paths(&mut |path| files.push(path.clone()));
    files
}

/// The folders of files: a file that is replaced is another one, in the same folder. What a link leads to is read where
/// it lies.
fn folders(files: &[PathBuf]) -> Vec<PathBuf> {
    let targets: Vec<_> = files
        .iter()
        .filter_map(|file| std::fs::canonicalize(file).ok())
        .collect();
    let mut folders: Vec<_> = files.iter().chain(&targets).map(|file| folder(file)).collect();
    folders.sort();
    folders.dedup();
    folders
}

fn folder(file: &Path) -> PathBuf {
    match file.parent() {
        Some(folder) if folder != Path::new("") => folder.to_owned(),
        _ => PathBuf::from("."),
    }
}
