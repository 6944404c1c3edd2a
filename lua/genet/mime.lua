--- Media types by the endings of file names.
-- @module genet.mime

local mime = {}

--- What a file is whose ending nobody knows.
mime.UNKNOWN = "application/octet-stream"

-- Type to endings. Those a browser runs or shows come from the specifications of the web, the
-- others from IANA's registry.
local LISTED = {
  ["text/html"] = "html htm",
  ["text/css"] = "css",
  ["text/javascript"] = "js mjs cjs",
  ["text/plain"] = "txt text log conf ini lua c h",
  ["text/markdown"] = "md markdown",
  ["text/csv"] = "csv",
  ["text/tab-separated-values"] = "tsv",
  ["text/calendar"] = "ics",
  ["text/vcard"] = "vcf",
  ["text/vtt"] = "vtt",
  ["text/xml"] = "xml xsl",
  ["application/json"] = "json map",
  ["application/ld+json"] = "jsonld",
  ["application/geo+json"] = "geojson",
  ["application/manifest+json"] = "webmanifest",
  ["application/x-ndjson"] = "ndjson jsonl",
  ["application/atom+xml"] = "atom",
  ["application/rss+xml"] = "rss",
  ["application/xhtml+xml"] = "xhtml",
  ["application/yaml"] = "yaml yml",
  ["application/toml"] = "toml",
  ["application/sql"] = "sql",
  ["application/wasm"] = "wasm",
  ["application/pdf"] = "pdf",
  ["application/postscript"] = "ps eps",
  ["application/rtf"] = "rtf",
  ["application/epub+zip"] = "epub",
  ["application/zip"] = "zip",
  ["application/gzip"] = "gz tgz",
  ["application/x-bzip2"] = "bz2",
  ["application/x-xz"] = "xz",
  ["application/zstd"] = "zst",
  ["application/x-7z-compressed"] = "7z",
  ["application/x-tar"] = "tar",
  ["application/vnd.rar"] = "rar",
  ["application/java-archive"] = "jar",
  ["application/vnd.debian.binary-package"] = "deb",
  ["application/x-rpm"] = "rpm",
  ["application/vnd.sqlite3"] = "sqlite sqlite3 db",
  ["application/msword"] = "doc",
  ["application/vnd.ms-excel"] = "xls",
  ["application/vnd.ms-powerpoint"] = "ppt",
  ["application/vnd.openxmlformats-officedocument.wordprocessingml.document"] = "docx",
  ["application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"] = "xlsx",
  ["application/vnd.openxmlformats-officedocument.presentationml.presentation"] = "pptx",
  ["application/vnd.oasis.opendocument.text"] = "odt",
  ["application/vnd.oasis.opendocument.spreadsheet"] = "ods",
  ["application/vnd.oasis.opendocument.presentation"] = "odp",
  ["application/vnd.apple.mpegurl"] = "m3u8",
  ["application/dash+xml"] = "mpd",
  ["application/octet-stream"] = "bin iso img exe dll dmg",
  ["font/woff"] = "woff",
  ["font/woff2"] = "woff2",
  ["font/ttf"] = "ttf",
  ["font/otf"] = "otf",
  ["font/collection"] = "ttc",
  ["image/png"] = "png",
  ["image/apng"] = "apng",
  ["image/jpeg"] = "jpg jpeg jpe",
  ["image/gif"] = "gif",
  ["image/webp"] = "webp",
  ["image/avif"] = "avif",
  ["image/svg+xml"] = "svg",
  ["image/vnd.microsoft.icon"] = "ico",
  ["image/bmp"] = "bmp",
  ["image/tiff"] = "tif tiff",
  ["image/heic"] = "heic",
  ["image/jxl"] = "jxl",
  ["audio/mpeg"] = "mp3",
  ["audio/mp4"] = "m4a",
  ["audio/aac"] = "aac",
  ["audio/ogg"] = "ogg oga opus",
  ["audio/flac"] = "flac",
  ["audio/wav"] = "wav",
  ["audio/webm"] = "weba",
  ["audio/midi"] = "mid midi",
  ["video/mp4"] = "mp4 m4v",
  ["video/mpeg"] = "mpeg mpg",
  ["video/ogg"] = "ogv",
  ["video/webm"] = "webm",
  ["video/quicktime"] = "mov",
  ["video/x-msvideo"] = "avi",
  ["video/x-matroska"] = "mkv",
  ["video/mp2t"] = "ts m2ts",
  ["video/3gpp"] = "3gp",
  ["model/gltf+json"] = "gltf",
  ["model/gltf-binary"] = "glb",
}

local BY_ENDING = {}

for media, endings in pairs(LISTED) do
  for ending in endings:gmatch("%S+") do BY_ENDING[ending] = media end
end

-- Beside text/*: media types that are text, or shrink as if they were.
local SHRINK = {
  ["application/json"] = true,
  ["application/javascript"] = true,
  ["application/xml"] = true,
  ["application/yaml"] = true,
  ["application/toml"] = true,
  ["application/sql"] = true,
  ["application/rtf"] = true,
  ["application/wasm"] = true,
  ["application/x-ndjson"] = true,
  ["application/x-tar"] = true,
  ["application/postscript"] = true,
  ["application/vnd.apple.mpegurl"] = true,
  ["application/vnd.sqlite3"] = true,
  ["font/ttf"] = true,
  ["font/otf"] = true,
  ["font/collection"] = true,
  ["image/bmp"] = true,
  ["image/vnd.microsoft.icon"] = true,
}

--- The media type for the name of a file, with the charset of a text, which is UTF-8.
-- @tparam string name of the file, with or without directories
-- @tparam ?table more types by ending, looked into first: `{x3d = "model/x3d+xml"}`
-- @treturn string `mime.UNKNOWN` when the ending says nothing
-- @usage mime.of("site/app.JS") --> "text/javascript; charset=utf-8"
function mime.of(name, more)
  local ending = name:match("%.([^./]+)$")
  ending = ending and ending:lower()
  local media = ending and (more and more[ending] or BY_ENDING[ending]) or mime.UNKNOWN
  if media:find("^text/") and not media:find(";", 1, true) then
    return media .. "; charset=utf-8"
  end
  return media
end

--- Whether content of a media type grows smaller when it is compressed, as a rule.
-- @tparam string media with or without parameters
-- @treturn boolean
-- @usage mime.shrinks("image/svg+xml") --> true
function mime.shrinks(media)
  local plain = media:match("^%s*([^;%s]*)"):lower()
  return SHRINK[plain] or plain:find("^text/.") ~= nil and plain ~= "text/event-stream"
    or plain:find("%+json$") ~= nil or plain:find("%+xml$") ~= nil
end

--- Types by ending as a file lists them in the format of `/etc/mime.types`, for the option
-- `mimetypes` of `app:static`.
-- @tparam ?string path `/etc/mime.types` unless told
-- @treturn[1] table
-- @treturn[2] nil
-- @treturn[2] string why the file cannot be read
-- @usage app:static("/files", "files", {mimetypes = assert(mime.load())})
function mime.load(path)
  local file, problem = io.open(path or "/etc/mime.types")
  if not file then return nil, problem end
  local types = {}
  for line in file:lines() do
    local media, endings = line:match("^%s*([^#%s]+)%s+([^#]*)")
    for ending in (endings or ""):gmatch("%S+") do types[ending:lower()] = media end
  end
  file:close()
  return types
end

return mime
