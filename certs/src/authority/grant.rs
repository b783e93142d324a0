//! What of a request is granted: nothing that the operator didn't name.

use super::policy::IssuingPolicy;
use crate::csr::SigningRequest;
use crate::error::CertsError;
use crate::request::SubjectHost;
use crate::role::{Role, SubjectName};

/// What the operator grants.
#[derive(Debug, Clone, Default)]
pub struct SignOptions {
    /// How long the certificate is good: [`DEFAULT_DAYS`](Self::DEFAULT_DAYS) or as long as policy allows, where nothing
    /// is said; never longer than the authority itself.
    pub days: Option<u32>,
    /// The role to grant: needed where the request names none, refused where it names another.
    pub role: Option<Role>,
    /// The name to grant, likewise.
    pub name: Option<SubjectName>,
    /// The hosts that may be granted: a request for another one is refused. All, where none are given.
    pub hosts: Option<Vec<SubjectHost>>,
}

impl SignOptions {
    /// 825 days, the longest that common TLS implementations accept.
    pub const DEFAULT_DAYS: u32 = 825;
}

/// What a certificate will say.
pub(super) struct Grant {
    pub(super) role: Role,
    pub(super) name: SubjectName,
    pub(super) hosts: Vec<SubjectHost>,
    pub(super) days: u32,
}

impl Grant {
    /// What is asked for, as far as the operator grants it and the authority's policy allows it.
    pub(super) fn of(
        request: &SigningRequest,
        from: &str,
        options: &SignOptions,
        policy: Option<&IssuingPolicy>,
    ) -> Result<Self, CertsError> {
        let refused = |problem: String| CertsError::Grant {
            from: from.to_owned(),
            problem,
        };
        let role = match (request.role, options.role) {
            (Some(asked), Some(granted)) if asked != granted => {
                return Err(CertsError::RequestRole {
                    from: from.to_owned(),
                    requested: asked,
                    wanted: granted,
                });
            }
            (Some(role), _) | (None, Some(role)) => role,
            (None, None) if request.authority => {
                return Err(CertsError::RequestOfAuthority { from: from.to_owned() });
            }
            (None, None) => return Err(CertsError::RequestWithoutRole { from: from.to_owned() }),
        };
        let name = match (&request.name, &options.name) {
            (Some(asked), Some(granted)) if asked != granted => {
                return Err(refused(format!("the name {asked}, but {granted} was to be granted")));
            }
            (Some(name), _) | (None, Some(name)) => name.clone(),
            (None, None) => return Err(refused("no usable name".to_owned())),
        };
        if let Some(granted) = &options.hosts
            && let Some(host) = request.hosts.iter().find(|host| !granted.contains(host))
        {
            return Err(refused(format!("the host {host}, which was not to be granted")));
        }
        let hosts = request.hosts.clone();
        let days = match policy {
            None => options.days.unwrap_or(SignOptions::DEFAULT_DAYS),
            Some(policy) => {
                policy.check_holder(from, role, &name, &hosts)?;
                policy.check_key(from, &request.public_key)?;
                policy.days(from, options.days)?
            }
        };
        Ok(Self {
            role,
            name,
            hosts,
            days,
        })
    }
}
