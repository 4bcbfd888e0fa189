module kits

go 1.24.0

require holdfast v0.0.0

require github.com/go-jose/go-jose/v4 v4.1.9 // indirect

replace holdfast => ../../../kits/go
