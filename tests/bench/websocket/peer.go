// The same in Go, with gorilla/websocket.
package main

import (
	"net/http"
	"os"
	"sync"

	"github.com/gorilla/websocket"
)

var (
	upgrader = websocket.Upgrader{}
	lock     sync.Mutex
	room     = map[*websocket.Conn]bool{}
)

func echo(w http.ResponseWriter, r *http.Request) {
	c, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	defer c.Close()
	for {
		kind, message, err := c.ReadMessage()
		if err != nil || c.WriteMessage(kind, message) != nil {
			return
		}
	}
}

// Writes a prepared message, built once, to all.
func publish(message []byte) {
	prepared, err := websocket.NewPreparedMessage(websocket.TextMessage, message)
	if err != nil {
		return
	}
	lock.Lock()
	defer lock.Unlock()
	for c := range room {
		c.WritePreparedMessage(prepared)
	}
}

func join(w http.ResponseWriter, r *http.Request) {
	c, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	defer c.Close()
	c.WriteMessage(websocket.TextMessage, []byte("joined"))
	lock.Lock()
	room[c] = true
	lock.Unlock()
	for {
		_, message, err := c.ReadMessage()
		if err != nil {
			break
		}
		publish(message)
	}
	lock.Lock()
	delete(room, c)
	lock.Unlock()
}

func main() {
	http.HandleFunc("/echo", echo)
	http.HandleFunc("/room", join)
	if err := http.ListenAndServe("127.0.0.1:"+os.Args[1], nil); err != nil {
		panic(err)
	}
}
