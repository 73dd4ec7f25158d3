package saga

import "strings"

// Reserved says whether the agents of a type are sagas. Who lets others call
// agents by name must leave these out: their actions believe whoever calls them,
// as who cancels a saga, or settles a step.
func Reserved(agentType string) bool { return strings.HasPrefix(agentType, typePrefix) }
