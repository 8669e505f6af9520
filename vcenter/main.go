// SPDX-License-Identifier: Apache-2.0

// Program anyvisor-vcenter is the lab's vCenter: govmomi's simulator with what it lacks. See README.md.
package main

import (
	"crypto/tls"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
)

type options struct {
	listen, inventory, control, state string
	cert, key                         string
	user, passwordEnv                 string
	vmotionSeconds                    float64
}

func main() {
	var o options
	flag.StringVar(&o.listen, "listen", "127.0.0.1:0", "address and port of the vSphere API")
	flag.StringVar(&o.inventory, "inventory", "", "the inventory, a JSON file")
	flag.StringVar(&o.control, "control", "", "path of the control API's unix socket")
	flag.StringVar(&o.state, "state", "", "file that keeps the inventory over a restart")
	flag.StringVar(&o.cert, "cert", "", "certificate (PEM); without one, one is made beside the control socket")
	flag.StringVar(&o.key, "key", "", "its key (PEM)")
	flag.StringVar(&o.user, "user", "", "the one user; without, anybody gets in")
	flag.StringVar(&o.passwordEnv, "password-env", "", "name of the environment variable with the user's password")
	flag.Float64Var(&o.vmotionSeconds, "vmotion-seconds", 1, "how long a migration takes")
	flag.Parse()
	log.SetFlags(log.LstdFlags | log.Lmicroseconds)
	if err := run(&o); err != nil {
		fmt.Fprintf(os.Stderr, "anyvisor-vcenter: %v\n", err)
		os.Exit(1)
	}
}

func run(o *options) error {
	if o.inventory == "" || o.control == "" {
		return fmt.Errorf("--inventory and --control are needed")
	}
	inv, err := readInventory(o.inventory)
	if err != nil {
		return err
	}
	w := newWorld(inv)
	w.settings.VMotionSeconds = o.vmotionSeconds
	w.login = login{o.user, os.Getenv(o.passwordEnv)}
	if o.user != "" && w.login.password == "" {
		return fmt.Errorf("--password-env: %q is not set", o.passwordEnv)
	}
	w.lock()
	err = w.build()
	if err == nil && o.state != "" {
		err = w.openJournal(o.state)
	}
	w.unlock()
	if err != nil {
		return err
	}
	certificate, err := certificateFor(o)
	if err != nil {
		return err
	}
	return serve(w, o, certificate)
}

// serve answers until it is told to end.
func serve(w *world, o *options, certificate tls.Certificate) error {
	_ = os.Remove(o.control)
	inside, err := net.Listen("unix", o.control)
	if err != nil {
		return err
	}
	defer os.Remove(o.control)
	if err := os.Chmod(o.control, 0o600); err != nil {
		return err
	}
	outside, err := net.Listen("tcp", o.listen)
	if err != nil {
		return err
	}
	failed := make(chan error, 2)
	go func() { failed <- http.Serve(inside, &control{w}) }()
	server := &http.Server{Handler: &front{w}, TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){},
		ErrorLog: log.New(quiet{}, "", 0)}
	secure := tls.NewListener(outside, &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12})
	go func() { failed <- server.Serve(secure) }()
	ready := map[string]string{"url": "https://" + outside.Addr().String() + "/sdk", "control": o.control}
	if o.cert == "" {
		ready["certificate"] = madeCertificate(o)
	}
	if err := json.NewEncoder(os.Stdout).Encode(ready); err != nil {
		return err
	}
	told := make(chan os.Signal, 1)
	signal.Notify(told, syscall.SIGTERM, syscall.SIGINT)
	select {
	case <-told:
		w.lock()
		w.unlock()
		return nil
	case err := <-failed:
		return err
	}
}

// quiet drops what the HTTP server says of clients that hang up.
type quiet struct{}

func (quiet) Write(p []byte) (int, error) { return len(p), nil }
