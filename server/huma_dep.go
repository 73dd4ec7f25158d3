package server

import _ "github.com/danielgtaylor/huma/v2"
