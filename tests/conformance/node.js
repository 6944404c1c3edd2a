// The routes of the conformance suite, as far as the wire shows them, on Node's http server with
// its strict parser (llhttp). Arguments: the port, the port with small limits.
'use strict';
const http = require('http');

const bodies = new Set(['/echo', '/pieces']);
const methods = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE']);
const pages = {
  '/': 'fine', '/probe': 'probe', '/slow': 'slow', '/stream': 'one two', '/stream-nothing': '',
};

function path(url) {
  const rest = url.replace(/^http:\/\/[^/?]*/i, '').replace(/\?.*/, '');
  try {
    return decodeURIComponent(rest) || '/';
  } catch {
    return rest;
  }
}

function page(request, response, target) {
  if (request.method === 'OPTIONS') return response.writeHead(200, {Allow: 'GET'}).end();
  if (!['GET', 'HEAD'].includes(request.method)) {
    return response.writeHead(405, {Allow: 'GET'}).end();
  }
  response.end(pages[target] ?? 'told');
}

function answer(request, response, body) {
  const target = path(request.url);
  const status = target.match(/^\/status\/(\d+)$/);
  if (status) return response.writeHead(+status[1]).end('a body');
  if (target === '/ignore') return response.end('ignored');
  if (target.startsWith('/jump/')) return response.writeHead(302, {Location: '/'}).end();
  if (target === '/broken') return response.writeHead(500).end();
  if (bodies.has(target)) {
    if (!methods.has(request.method)) return response.writeHead(405).end();
    return response.end(`${request.method} ${body}`);
  }
  if (target === '*' || target in pages || /^\/(tell(\/.*)?|header)$/s.test(target)) {
    return page(request, response, target);
  }
  response.writeHead(404).end();
}

function serve(port, maxHeaderSize, maxBody) {
  const server = http.createServer({maxHeaderSize}, (request, response) => {
    if (!bodies.has(path(request.url))) return answer(request, response, '');
    let size = 0;
    request.on('data', (piece) => {
      size += piece.length;
      if (size > maxBody && !response.headersSent) response.writeHead(413).end();
    });
    request.on('end', () => {
      if (!response.headersSent) answer(request, response, size);
    });
  });
  server.listen(port, '127.0.0.1');
}

serve(+process.argv[2], 16 * 1024, 8 * 1024 * 1024);
serve(+process.argv[3], 4 * 1024, 4 * 1024);
