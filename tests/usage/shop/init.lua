-- An app of its own file.
local app = require("genet").app()
app:get("/goods", function() return "goods" end)
return app
