// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/subtle"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

const cookieName = "vmware_soap_session"

// login is the one account. Without a name anybody gets in who gives a name and a password.
type login struct {
	user, password string
}

// session is one client's, with the views and collectors it made.
type session struct {
	types.UserSession
	sim     *simulator.Session
	objects map[ref]mo.Reference
	ended   chan struct{}
	made    int
}

type sessions struct {
	byKey map[string]*session
}

func newSessions() *sessions { return &sessions{byKey: map[string]*session{}} }

// systemSession is the program's own.
var systemSession = &simulator.Session{
	UserSession: types.UserSession{Key: "system", UserName: "System"}, Registry: simulator.NewRegistry(),
}

func (s *session) newRef(kind string) ref {
	s.made++
	return ref{Type: kind, Value: fmt.Sprintf("session[%s]%s-%d", s.Key, strings.ToLower(kind), s.made)}
}

// of is the session that the request's cookie names, or nil.
func (s *sessions) of(r *http.Request) *session {
	cookie, err := r.Cookie(cookieName)
	if err != nil {
		return nil
	}
	found := s.byKey[strings.Trim(cookie.Value, `"`)]
	if found != nil {
		found.LastActiveTime = time.Now()
		found.CallCount++
	}
	return found
}

func (s *sessions) end(key string) {
	if found := s.byKey[key]; found != nil {
		close(found.ended)
		delete(s.byKey, key)
	}
}

// dropSessions ends every session, as a vCenter does that forgets them.
func (w *world) dropSessions() int {
	count := len(w.sessions.byKey)
	for key := range w.sessions.byKey {
		w.sessions.end(key)
	}
	w.wake()
	return count
}

func (w *world) signIn(c *call, req *types.Login) (*types.LoginResponse, vimFault) {
	same := func(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }
	good := req.UserName != "" && req.Password != ""
	if w.login.user != "" {
		good = same(req.UserName, w.login.user) && same(req.Password, w.login.password)
	}
	if !good || c.session != nil {
		return nil, &types.InvalidLogin{}
	}
	now := time.Now().UTC()
	s := &session{
		UserSession: types.UserSession{
			Key: uuid.New().String(), UserName: req.UserName, FullName: req.UserName, LoginTime: now, LastActiveTime: now,
			Locale: "en", MessageLocale: "en", ExtensionSession: types.NewBool(false),
			IpAddress: strings.Split(c.request.RemoteAddr, ":")[0], UserAgent: c.request.UserAgent(),
		},
		objects: map[ref]mo.Reference{}, ended: make(chan struct{}),
	}
	s.sim = &simulator.Session{UserSession: s.UserSession, Registry: simulator.NewRegistry()}
	w.sessions.byKey[s.Key] = s
	http.SetCookie(c.writer, &http.Cookie{Name: cookieName, Value: s.Key, Path: "/", HttpOnly: true, Secure: true})
	return &types.LoginResponse{Returnval: s.UserSession}, nil
}

// sessionManager is the manager as this client sees it.
func (w *world) sessionManager(c *call, r ref) mo.Reference {
	m := &mo.SessionManager{Self: r}
	if c.session == nil {
		return m
	}
	m.CurrentSession = &c.session.UserSession
	for _, s := range w.sessions.byKey {
		m.SessionList = append(m.SessionList, s.UserSession)
	}
	return m
}

func sessionMethods(t *table) {
	on(t, "Login", func(c *call, req *types.Login) (*types.LoginResponse, vimFault) {
		return c.w.signIn(c, req)
	})
	on(t, "Logout", func(c *call, _ *types.Logout) (*types.LogoutResponse, vimFault) {
		c.w.sessions.end(c.session.Key)
		c.w.wake()
		return &types.LogoutResponse{}, nil
	})
	on(t, "SessionIsActive", func(c *call, req *types.SessionIsActive) (*types.SessionIsActiveResponse, vimFault) {
		s := c.w.sessions.byKey[req.SessionID]
		return &types.SessionIsActiveResponse{Returnval: s != nil && s.UserName == req.UserName}, nil
	})
	on(t, "TerminateSession", func(c *call, req *types.TerminateSession) (*types.TerminateSessionResponse, vimFault) {
		for _, key := range req.SessionId {
			if key == c.session.Key {
				return nil, &types.InvalidArgument{InvalidProperty: "sessionId"}
			}
			if c.w.sessions.byKey[key] == nil {
				return nil, &types.NotFound{}
			}
			c.w.sessions.end(key)
		}
		c.w.wake()
		return &types.TerminateSessionResponse{}, nil
	})
}
