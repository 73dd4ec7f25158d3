package twopc

// Reserved says whether the agents of a type are the coordinator's own. Who lets
// others call agents by name must leave these out: their actions believe whoever
// calls them, as who resolves a branch, or asks for its decision.
func Reserved(agentType string) bool { return agentType == Type || agentType == tenantType }

// Owns says whether a name is that of a transaction of a tenant, whether or not
// anything is known of it. Of the options, Tenant matters.
func Owns(tx string, opts ...Option) bool {
	p, ok := parseTx(tx)
	return ok && p.tenant == digest(lenTenant, optionsOf(opts).tenant)
}
