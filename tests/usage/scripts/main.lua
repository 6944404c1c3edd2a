return require("genet").app()
