//! Pages about authority, policy and audit.

use super::Page;
use crate::reason::Code;

pub(super) const AUDIO_FLOWING: Page = Page {
    meaning: "Packets of the agent's call are captured, sent to the supervisor and can be played. If nothing is heard all the same, \
        the reason lies behind the program: volume, headset, the output of the operating system.",
    recognised: "Both sides were captured within the last 2 s, or one side is quiet after it was seen in this call (phones \
        that save silence send nothing).",
    evidence: "Packets of each direction and how old the last one is; the share lost.",
    causes: &[],
    remedies: &[
        "Look at the level meters: where they move, the sound reaches this machine's output.\n$ silentmon doctor --agent ID --all …",
    ],
    related: &[Code::OutputMuted, Code::OneSideOnly],
};

pub(super) const NOT_AUTHORISED: Page = Page {
    meaning: "The server knows who you are, and its rules don't let you hear this agent. By default a supervisor hears the agents of \
        his own teams, quality management those of the teams that policy lists, and an administrator nobody.",
    recognised: "The server checks role, team and exclusions before each session, and again whenever teams, phones or rules change. A \
        session that has lost its authority ends within 5 s.",
    evidence: "The rule that refused, as the configuration calls it, and the agent's team, as the CTI source told it or [teams] names it.",
    causes: &[
        "policy.who: the agent belongs to another team, or to none that the server knows; or your certificate bears another name \
        than [teams] or the CTI source uses.",
        "The CTI source tells teams only after a snapshot that hasn't come yet.",
        "policy.quality_teams doesn't name the agent's team.",
        "policy.administrators is \"see\": administrators don't listen.",
        "policy.excluded_agents or policy.excluded_devices names the agent, or the phone he uses.",
    ],
    remedies: &[
        "See which name your certificate bears.\n$ silentmon certs inspect supervisor.pem",
        "See which rule refused, and which team the server knows.\n$ silentmon doctor --agent ID …",
        "Add the supervisor to [teams] of the server's configuration, or map his name in [supervisors], then reload.\n\
        $ kill -HUP PID_OF_SILENTMON_CAPTURE",
        "Where every supervisor may hear everyone, set who = \"any-supervisor\" in [policy].",
    ],
    related: &[Code::ExcludedByPolicy, Code::LockedOut, Code::CertificateRefused],
};

pub(super) const LOCKED_OUT: Page = Page {
    meaning: "Three sign-ins in a row failed under your name from your address. Until 15 minutes after the last of them nobody signs in or \
        starts listening under this name from there, by certificate either. Sessions that run go on.",
    recognised: "The server counts wrong passwords by name and source (an IPv4 address, or an IPv6 /64); a success in between, or 15 \
        minutes, begin the count anew. Thirty failures under whatever names lock sign-ins from their source. The count outlives a \
        restart: it is in the journal.",
    evidence: "The source, how many failed, and until when it is locked.",
    causes: &[
        "A password was mistyped, or a browser or program goes on trying an old one.",
        "Somebody at the same address tries to guess it: see sign_in_failed in the journal.",
    ],
    remedies: &[
        "Wait until the time is over; trying meanwhile doesn't lengthen it.",
        "Have an administrator end it.\n$ silentmon auth list …\n$ silentmon auth unlock NAME …",
        "Give the user another password.\n$ silentmon auth password NAME --users users.json",
    ],
    related: &[Code::NotAuthorised],
};

pub(super) const EXCLUDED_BY_POLICY: Page = Page {
    meaning: "You may hear the agent, but not now, not this call, or not in the way you asked for.",
    recognised: "A session was asked for outside policy.hours, without a purpose that policy.purposes lists, beyond the number of \
        sessions or listeners that policy allows, for a recording or for plain RTP that [policy] doesn't allow; or a session went on \
        for policy.session_limit and nobody said that he still listens. Or the agent's media are known, and [policy] admits none of \
        them: with acd_only only calls are heard that are known to have come through a queue; private calls are not heard, nor \
        agents who would have to be told and can't be.",
    evidence: "The rule that refused, as the configuration calls it, a number by its place in the list; the call, and whether the CTI \
        source said that it came through the queue (yes, no, not told).",
    causes: &[
        "It is an internal, outgoing or private call and acd_only is set (it is unless turned off).",
        "The CTI source doesn't say of calls whether they came through the queue.",
        "A number of the call is on a list of private ones, or nobody tells it and unknown_numbers is \"private\".",
        "The agent marked the call as private, or a call variable says that it is.",
        "disclosure_required is set, and no desktop of the agent takes notices.",
        "It is outside the hours of listening.",
        "No purpose was named, or none of the list.",
        "Others listen to the agent already, or you have enough sessions.",
        "listen --output wav:… without recording = \"allowed\".",
        "listen --output rtp:… to a receiver that rtp_receivers doesn't name.",
    ],
    remedies: &[
        "Wait for the next call of the queue; the session goes on.",
        "Name a purpose of the list.\n$ silentmon listen ID --purpose coaching …",
        "Where all calls may be heard, set acd_only = false in [policy] and reload; this is a question for whoever answers for it.",
        "Where the agent must be told, have the program at his desk started; sound begins when it takes notices.",
        "See the rules as they are in force.\n$ silentmon config print capture.toml",
    ],
    related: &[Code::NotAuthorised, Code::PaymentPause],
};

pub(super) const PAYMENT_PAUSE: Page = Page {
    meaning: "The customer tells how he pays; nothing of the call leaves the capture server until that is over.",
    recognised: "A pause was asked for over HTTPS, the call's variable has the value that [policy.payment_pause] names, or the \
        customer keyed as many digits. It holds for everybody on the call.",
    evidence: "What began it, and after how long it ends by itself at the latest.",
    causes: &[
        "A payment is taken on the call.",
        "The program that asked for the pause didn't ask for its end, or the variable was not set back.",
        "The customer keyed many digits for another purpose: [policy.payment_pause] digits is too low.",
    ],
    remedies: &[
        "Wait: it ends by itself, with the call at the latest.",
        "See which pauses run and what began them.\n$ curl --cacert ca.pem -H \"Authorization: Bearer $(cat token)\" https://gw1:42228/v1/pauses",
    ],
    related: &[Code::ExcludedByPolicy],
};

pub(super) const AUDIT_UNWRITABLE: Page = Page {
    meaning: "Who listens to whom is written down before any sound flows. The journal can't be written, so nobody may listen; \
        sessions that run go on until they end.",
    recognised: "Writing or syncing the journal's file failed when a session was to start. The server remembers that until a \
        session could be written down again. A server that can't open its journal doesn't start at all.",
    evidence: "The journal's path and what the system said.",
    causes: &[
        "The disk is full, or a quota is used up.",
        "The file or its folder belongs to another user, for instance after a start as root.",
        "The file system was remounted read-only after an error of the disk.",
    ],
    remedies: &[
        "Look for room and for errors of the disk.\n$ df -h /var/log/silentmon\n$ dmesg | tail",
        "Look whose the file is; it must be the service's.\n$ ls -l /var/log/silentmon/audit.jsonl",
        "Never delete lines: each carries the hash of the one before. Move the whole file away and restart the service.",
    ],
    related: &[Code::NotAuthorised],
};
