local support = require "support"
local password = require "genet.password"

local FAST = "scrypt:16:1:1"

describe("genet.password", function()
  it("verifies what it has hashed", function()
    for _, method in ipairs{FAST, "pbkdf2:sha256:10", "pbkdf2:sha1:10", "pbkdf2:sha512:10"} do
      local hash = password.hash("a \0 secret", method)
      assert.equal(method .. "$", hash:sub(1, #method + 1))
      assert.is_true(password.verify(hash, "a \0 secret"))
      assert.is_false(password.verify(hash, "a \0 Secret"))
      assert.is_false(password.verify(hash, "a "))
      assert.is_false(password.verify(hash, ""))
    end
  end)

  it("uses scrypt with the parameters of Werkzeug unless told", function()
    assert.matches("^scrypt:32768:8:1%$[%w_-]+%$" .. ("%x"):rep(128) .. "$", password.hash("x"))
  end)

  it("takes a salt of its own each time", function()
    assert.not_equal(password.hash("x", FAST), password.hash("x", FAST))
  end)

  -- Vectors of RFC 7914, and the usual ones of PBKDF2, in Werkzeug's format.
  local known = {
    {"scrypt:1024:8:16$NaCl$fdbabe1c9d3472007856e7190d01e9fe7c6ad7cbc8237830e77376634b373162"
      .. "2eaf30d92e22a3886ff109279d9830dac727afb94a83ee6d8360cbdfa2cc0640", "password"},
    {"pbkdf2:sha256:1$salt$120fb6cffcf8b32c43e7225256c4f837a86548c92ccc35480805987cb70be17b",
      "password"},
    {"pbkdf2:sha256:4096$salt$C5E478D59288C841AA530DB6845C4C8D962893A001CE4E11A4963873AA98134A",
      "password"},
  }
  for _, case in ipairs(known) do
    it("knows " .. case[1]:sub(1, 30), function()
      assert.is_true(password.verify(case[1], case[2]))
      assert.is_false(password.verify(case[1], case[2] .. "x"))
    end)
  end

  it("says no to what is no hash", function()
    for _, hash in ipairs{"", "x", "$$", "plain$salt$secret", "md5:1$s$00", "scrypt:16:1:1$salt$",
      "scrypt:15:1:1$s$00", "scrypt:0:1:1$s$00", "scrypt:16:1:1$s$zz", "scrypt:16:1$s$00",
      "scrypt:1073741824:8:1$s$00", "pbkdf2:sha256:0$s$00", "pbkdf2:sha256:9999999999$s$00",
      "pbkdf2:md5:1$s$00", "pbkdf2:sha256$s$00"} do
      assert.is_false(password.verify(hash, "secret"), hash)
    end
  end)

  it("says no where there is no hash, in its own time", function()
    assert.is_false(password.verify(nil, "secret"))
  end)

  it("names what is wrong", function()
    assert.matches("password_spec.lua:%d+: genet.password.hash: a string was expected as the "
      .. "password, not a nil", support.raised(function() password.hash() end))
    assert.error_matches(function() password.hash("x", "md5") end, "unknown method 'md5'")
    assert.error_matches(function() password.verify("x", 1) end, "not a number")
  end)
end)
