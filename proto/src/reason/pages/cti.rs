//! Pages about CTI links and what they tell of agents.

use super::Page;
use crate::reason::Code;

pub(super) const CTI_LINK_DOWN: Page = Page {
    meaning: "The server gets no events from the telephony system, so it doesn't know who talks where. Calls whose media \
        address it already knows go on being heard.",
    recognised: "No connection, no answer within the time limit, or three heartbeats unanswered. Of a CTI Server both sides are \
        tried in turn. For an agent it is the reason only while nothing of him is heard.",
    evidence: "How many links there are and how many are down; of the one that matters its name, since when it has been down, \
        when its last event came and how many there were.",
    causes: &[
        "The CTI service is stopped, or its active side has moved and only one side is configured.",
        "A firewall between the capture server and the CTI port.",
        "A wrong port. Defaults: CTI Server side A 42027, side B 43027 (with TLS 42030, 43030); CSTA and Xsi as the switch is \
        configured.",
        "The certificate of the CTI source isn't trusted (with tls), or bears another name.",
    ],
    remedies: &[
        "Try the port from the capture server itself.\n$ nc -vz cti-a.example 42027\n$ nc -vz cti-b.example 43027",
        "With TLS, look at what answers.\n$ openssl s_client -connect cti-a.example:42030 </dev/null",
        "Read what the link says in the log of the capture service; -v gives more of it.",
        "Compare host, port, side_b and password with docs/cti.md.\n$ silentmon config print capture.toml",
    ],
    related: &[Code::CtiRefused, Code::CtiPortIsPlain, Code::AgentNotSignedIn],
};

pub(super) const CTI_REFUSED: Page = Page {
    meaning: "The telephony system answers, but doesn't want the session: it will not work by trying again without a change.",
    recognised: "The source answered the opening of the session with a failure about who we are or what we ask for. The \
        sentence has its own words or status.",
    evidence: "As for SM-1201.",
    causes: &[
        "Wrong client id or password, or the user lacks the right to monitor.",
        "The peripheral id or the application name isn't known there.",
        "All sessions that the source allows are taken: a CTI Server takes at most 7 all-events clients beside CTI OS.",
        "The protocol version is too new for it, and it doesn't negotiate downwards.",
    ],
    remedies: &[
        "Check client_id, client_password, peripheral_id and protocol_version of the [[cti]] section.",
        "Ask the administrator of the CTI source for its log of the refused session.",
        "Let only one server of the house hold the session, or free one that is no longer used.",
    ],
    related: &[Code::CtiLinkDown, Code::CtiPortIsPlain],
};

pub(super) const CTI_PORT_IS_PLAIN: Page = Page {
    meaning: "TLS is configured for the link, and what answers doesn't speak TLS. The program never goes on without encryption \
        where encryption was asked for.",
    recognised: "The first bytes of the answer to our TLS handshake are no TLS record.",
    evidence: "As for SM-1201; the sentence shows the first bytes.",
    causes: &[
        "The port of the plain service: 42027 and 43027 instead of 42030 and 43030 for a CTI Server.",
        "Secure connections aren't enabled in the CTI source, or it was not restarted since.",
        "A load balancer or proxy that takes TLS off.",
    ],
    remedies: &[
        "See what answers.\n$ openssl s_client -connect cti-a.example:42030 </dev/null",
        "Give the secure port in side_a and side_b.",
        "Where the source can't do TLS, leave out tls and keep the path within a protected network.",
    ],
    related: &[Code::CtiLinkDown],
};

pub(super) const AGENT_NOT_SIGNED_IN: Page = Page {
    meaning: "No CTI source says that this agent is signed in. A session may wait for him once he is known.",
    recognised: "No event has named the agent yet, or the last one about him was a sign-out.",
    evidence: "His last known state and since when; \"never\" where no event has named him.",
    causes: &[
        "He isn't signed in.",
        "Another number: the CTI source has its own ids for agents, which need be neither extension nor login name.",
        "He belongs to another peripheral, or to skill groups outside the link's masks.",
        "The server has just started, and the snapshot isn't through yet.",
    ],
    remedies: &[
        "See which agents the server knows, and under which ids.\n$ silentmon agents …",
        "Check peripheral_id and the masks of the [[cti]] section.",
    ],
    related: &[Code::CtiLinkDown, Code::AgentNotOnCall],
};

pub(super) const AGENT_NOT_ON_CALL: Page = Page {
    meaning: "Nothing is wrong: the agent has no call that could be heard now. The session waits and hears the next one by \
        itself.",
    recognised: "He is signed in and has no call, or holds it, or its media began less than 2 s ago.",
    evidence: "His state, since when, how many calls he has, his extension.",
    causes: &[
        "He is ready, not ready or doing the work after a call.",
        "He holds the call: the customer hears music, which isn't his sound.",
    ],
    remedies: &["Wait; the session follows him to his next call."],
    related: &[Code::NoMediaAddress, Code::AgentNotSignedIn],
};

pub(super) const NO_MEDIA_ADDRESS: Page = Page {
    meaning: "The agent talks, and nobody has said to which IP address and port his phone sends its sound. Without that the \
        packets can't be found in the mirror.",
    recognised: "He is on a call, and neither the CTI source nor any resolver of [media] resolvers has an address.",
    evidence: "Who was asked, in order, and under which names the phone is known.",
    causes: &[
        "The CTI source doesn't tell media addresses: only Unified CCE does (RTP_STARTED events), and only for phones whose \
        JTAPI gateway delivers them. CSTA and BroadWorks never do.",
        "The call began before the server was started: no protocol tells the addresses of calls in progress.",
        "The device isn't listed in [devices], or under another name.",
        "SIP or SCCP between phone and call control doesn't pass the mirror, or is encrypted (SIP over TLS).",
    ],
    remedies: &[
        "Let the CTI Server client have RTP events (leave out services_mask, or include them in it), then wait for the next call.",
        "List the phone.\n$ [devices]\n$ \"3001\" = \"10.1.1.20\"",
        "Mirror the signalling too, or let [risport] ask the call manager for addresses.",
        "See which address each agent has, and whose word it is.\n$ silentmon agents --json …",
    ],
    related: &[Code::AgentNotInMirror, Code::AgentNotOnCall],
};
