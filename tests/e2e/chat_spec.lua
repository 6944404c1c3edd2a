-- scripts/chat.lua in a browser: what one window says, the others see.
local browser = require "tests.e2e.browser"
local support = require("tests.e2e.support").one_state()

describe("the chat", function()
  local server, ann, bob

  local function address(of, room)
    return ("http://%s:%d/chat#%s"):format(of.host, of.port, room)
  end

  setup(function()
    server = support.serve{path = "scripts"}
    ann = browser.start()
    bob = ann:another()
  end)

  teardown(function()
    if ann then ann:quit() end
    if server then server:stop() end
  end)

  -- Shows a window the page as if for the first time, and joins.
  local function join(window, name, room, of)
    window:open("about:blank")
    window:open(address(of or server, room))
    window:run("sessionStorage.clear()")
    window:reload()
    window:type("#name", name .. "\n")
    window:wait_for_text("#state", "connected")
    window:wait_for_text("#who", name)
  end

  local function say(window, text)
    window:type("#text", text .. "\n")
  end

  -- What somebody has said in the room, as a window shows it.
  local function log_of(window)
    return window:run("return [...document.querySelectorAll('.text')].map(e => e.textContent)")
  end

  it("asks for a name, and shows the room", function()
    join(ann, "Ann", "kitchen")
    assert.equal("kitchen", ann:text("#here"))
    assert.equal("kitchen · Chat", ann:title())
    ann:wait_for_text("#online", "1 online")
    ann:wait_for_text("#rooms", "kitchen")
  end)

  it("shows everybody what one says, who is here and how many", function()
    join(ann, "Ann", "garden")
    join(bob, "Bob", "garden")
    say(ann, "hello from Ann")
    bob:wait_for_text("#log", "hello from Ann")
    say(bob, "hello from Bob")
    ann:wait_for_text("#log", "hello from Bob")
    for _, window in ipairs{ann, bob} do
      assert.same({"hello from Ann", "hello from Bob"}, log_of(window))
      window:wait_for_text("#online", "2 online")
      window:wait_for_text("#who", "Ann")
      window:wait_for_text("#who", "Bob")
    end
  end)

  it("notices who leaves", function()
    join(ann, "Ann", "porch")
    join(bob, "Bob", "porch")
    ann:wait_for_text("#online", "2 online")
    bob:open("about:blank")
    ann:wait_for_text("#online", "1 online")
    ann:wait_until("Bob to be gone", function()
      return not ann:text("#who"):find("Bob", 1, true)
    end)
  end)

  it("keeps rooms apart, and has one go from one to another", function()
    join(ann, "Ann", "attic")
    join(bob, "Bob", "cellar")
    say(bob, "only below")
    bob:wait_for_text("#log", "only below")
    ann:wait_for_text("#rooms", "cellar")
    assert.same({}, log_of(ann))
    ann:click("#rooms [aria-label^=cellar]")
    ann:wait_for_text("#log", "only below") -- what was said before
    ann:wait_for_text("#who", "Bob")
    say(ann, "here I am")
    bob:wait_for_text("#log", "here I am")
    bob:type("#other", "roof\n")
    bob:wait_for_text("#rooms", "roof")
    ann:wait_until("Bob to be gone", function()
      return not ann:text("#who"):find("Bob", 1, true)
    end)
  end)

  it("shows what people write as text, never as markup", function()
    local evil = "<img src=x onerror='document.title=\"taken\"'>&amp;"
    join(ann, "<i>Ann</i>", "lab")
    join(bob, "Bob", "lab")
    say(ann, evil)
    bob:wait_for_text("#log", evil)
    bob:wait_for_text("#who", "<i>Ann</i>")
    assert.equal(0, bob:count("#log img, #log i, #who i"))
    assert.equal("lab · Chat", bob:title())
  end)

  it("gives two of the same name two names", function()
    join(ann, "Eve", "loft")
    join(bob, "Eve", "loft")
    ann:wait_for_text("#who", "Eve 2")
    say(bob, "which one?")
    ann:wait_for_text("#log .said:last-child .by", "Eve 2")
    assert.equal(1, bob:count("#log .mine"))
    assert.equal(0, ann:count("#log .mine"))
  end)

  it("comes back when the server does", function()
    local other = support.serve{path = "scripts"}
    finally(function() other:stop() end)
    join(ann, "Ann", "shed", other)
    other:stop()
    ann:wait_for_text("#state", "again")
    other = support.serve{path = "scripts", port = other.port}
    ann:wait_for_text("#state", "connected")
    ann:wait_for_text("#who", "Ann")
    say(ann, "still here")
    ann:wait_for_text("#log", "still here")
  end)

  it("names every field for those who do not see it", function()
    ann:open(address(server, "x"))
    assert.equal(0, ann:run([[
      return [...document.querySelectorAll("input")].filter(e => !e.labels.length).length
    ]]))
  end)

  local pictures = os.getenv("GENET_E2E_PICTURES")
  it("looks well #picture", function()
    if not pictures then return end
    join(ann, "Ann", "garden")
    join(bob, "Bob", "garden")
    for i, text in ipairs{"Good morning!", "Is the kettle on?", "It is. Tea in five minutes."} do
      say(i == 1 and ann or bob, text)
      ann:wait_for_text("#log", text)
    end
    say(ann, "Wonderful, I will bring the biscuits. 🍪 Does anybody mind if they are the ones with "
      .. "ginger, or shall I look for something else?")
    bob:wait_for_text("#log", "ginger")
    ann:screenshot(pictures .. "/light.png")
    ann:prefer("dark")
    ann:screenshot(pictures .. "/dark.png")
    ann:resize(390, 760)
    ann:screenshot(pictures .. "/small.png")
    bob:open("about:blank")
    bob:open(address(server, "garden"))
    bob:run("sessionStorage.clear()")
    bob:reload()
    bob:screenshot(pictures .. "/door.png")
  end)
end)
