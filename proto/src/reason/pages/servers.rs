//! Pages about capture servers and certificates.

use super::Page;
use crate::reason::Code;

pub(super) const NO_CAPTURE_SERVER: Page = Page {
    meaning: "None of the capture servers that were named could be talked to. Sessions are kept by the server for 30 s and taken \
        up again when the connection is back.",
    recognised: "Each server was dialled over QUIC (UDP). \"nothing listens there\" is an ICMP answer of the machine itself; \
        \"no answer within 5 s\" means that nothing came back at all.",
    evidence: "Each server with what became of the attempt.",
    causes: &[
        "The service isn't running (\"nothing listens there\").",
        "A firewall that lets TCP 42228 through and not UDP 42228 (\"no answer\").",
        "A wrong host name, or a name that only resolves inside another network.",
        "Another program holds UDP 42228 (\"it speaks another protocol\").",
    ],
    remedies: &[
        "On the server: does the service run, and does it listen?\n$ pgrep -a silentmon\n$ ss -lunp 'sport = :42228'",
        "On the desktop: does the name lead to the server?\n$ getent hosts gw1.example",
        "On the way: let UDP 42228 pass from supervisors to the server. Answers need no rule of their own in a stateful firewall.",
        "See whether packets of a desktop come in at all.\n$ tcpdump -ni eth0 udp port 42228",
    ],
    related: &[Code::CertificateRefused, Code::RelayBlocked],
};

pub(super) const CERTIFICATE_REFUSED: Page = Page {
    meaning: "Both sides show certificates, and one of them wasn't accepted: yours by the server or the server's by you. There is \
        no way around it and no plain-text fallback.",
    recognised: "By the check of dates, issuer, role, name and revocation on this side, or by the TLS alert of the other side. \
        `doctor` looks at the own certificate before it dials.",
    evidence: "Name, role, first and last day, issuer and SHA-256 fingerprint of the own certificate; what the other side said.",
    causes: &[
        "It has expired (certificates are good for 825 days unless signed otherwise).",
        "It was issued by another authority than the other side trusts: an old ca.pem was copied.",
        "It has the wrong role: a supervisor's program needs supervisor or admin, a server capture.",
        "The server was dialled by a name or address that its certificate doesn't bear.",
        "It was revoked, or the authority that issued it, or a revocation list is missing or too old. That ends running sessions, too.",
        "A clock is wrong, on either machine.",
    ],
    remedies: &[
        "Look at the certificate: dates, role, hosts, fingerprint.\n$ silentmon certs inspect supervisor.pem",
        "Is the clock right?\n$ timedatectl",
        "Make a new request where the key is to live, and have it signed.\n\
        $ silentmon certs request --role supervisor --name anna --out .\n\
        $ silentmon certs sign --ca CA_DIR --csr anna.csr --out anna.pem",
        "A server must bear every name and address it is dialled by: --san gw1.example --san 10.20.0.11 in its request.",
        "Copy the authority's current ca.pem and crl.pem to both machines; a list for each authority between it and the root is needed, too.",
    ],
    related: &[Code::NoCaptureServer, Code::NotAuthorised],
};

pub(super) const SERVICE_PORT_MISMATCH: Page = Page {
    meaning: "The members of a cluster listen on different service ports. Desktops are told one list of servers, so all must use \
        one port.",
    recognised: "Members tell each other their port when they connect. Where the ports differ, both sides refuse.",
    evidence: "Both servers' names and ports.",
    causes: &["service.listen was changed on some members only."],
    remedies: &[
        "Give service.listen the same port on all members.",
        "See who is connected to whom.\n$ silentmon cluster status",
    ],
    related: &[Code::ForeignMember, Code::NoCaptureServer],
};

pub(super) const FOREIGN_MEMBER: Page = Page {
    meaning: "A server that connected to the peers' port, or was dialled there, can't be a member of this cluster.",
    recognised: "Its greeting names another cluster or another server than its certificate does, or versions of the peers' \
        messages that this server doesn't speak.",
    evidence: "What it said, and what was expected.",
    causes: &[
        "cluster.peers leads to a server of another cluster.",
        "A certificate was copied from one member to another.",
        "The members' versions are too far apart: a cluster is upgraded by one version at a time.",
    ],
    remedies: &[
        "Compare cluster.cluster and cluster.name of both servers.",
        "Give each member a certificate of its own.\n$ silentmon certs request --role capture --name NAME",
        "Upgrade the older member.",
    ],
    related: &[Code::ServicePortMismatch, Code::CertificateRefused],
};
