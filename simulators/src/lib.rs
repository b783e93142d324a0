//! Simulated CTI sources: a Cisco CTI Server, a CSTA switch, a BroadWorks server, each playing a script.
//!
//! For tests and lab rehearsals. Their encoders are written from the protocols' description and share nothing with the
//! program's own codecs, so that a mistake in one isn't hidden by the same mistake in the other. Of `silentmon-proto` they
//! use only the script's vocabulary.
