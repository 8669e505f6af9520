// SPDX-License-Identifier: Apache-2.0

package main

import (
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

const (
	recentTasks = 10               // an entity's recentTask has the running ones and the last few that ended
	tasksKept   = 10 * time.Minute // so long one can still be asked for; clients read many of one entity together
)

// operation is a task in the making: who asked for it, and what ends it early.
type operation struct {
	w      *world
	task   *simulator.Task
	cancel chan struct{}
}

// start makes a running task of the entity. `method` is its name, `description` the identifier a client sees.
func (w *world) start(c *call, entity ref, method, description string) *operation {
	t := simulator.CreateTask(entity, method, nil)
	now := time.Now()
	t.Info.Name = method
	t.Info.DescriptionId = description
	t.Info.EntityName = w.nameOf(entity)
	t.Info.State = types.TaskInfoStateRunning
	t.Info.StartTime = &now
	t.Info.Reason = &types.TaskReasonUser{UserName: c.userName()}
	op := &operation{w: w, task: t, cancel: make(chan struct{})}
	w.moves.cancels[t.Self] = op
	w.remember(entity, t.Self)
	w.touch(t.Self)
	return op
}

func (w *world) nameOf(r ref) string {
	switch e := w.get(r).(type) {
	case nil:
		return ""
	case mo.Entity:
		return entityName(e)
	}
	return r.Value
}

// entityName also knows the types whose name hides the entity's.
func entityName(e mo.Entity) string {
	switch x := e.(type) {
	case *mo.Network:
		return x.Name
	case *mo.OpaqueNetwork:
		return x.Network.Name
	case *dvPortgroup:
		return x.Name
	}
	return e.Entity().Name
}

// remember lists the task among the entity's recent ones and forgets the oldest that ended.
func (w *world) remember(entity, task ref) {
	e := w.entity(entity)
	if e == nil {
		return
	}
	recent := append([]ref(nil), e.Entity().RecentTask...)
	recent = append(recent, task)
	for i := 0; len(recent) > recentTasks && i < len(recent); {
		t, ok := w.get(recent[i]).(*simulator.Task)
		if ok && t.Info.CompleteTime == nil {
			i++
			continue
		}
		w.retire(recent[i])
		recent = append(recent[:i], recent[i+1:]...)
	}
	e.Entity().RecentTask = recent
	w.touch(entity)
}

// retire removes a task in a while, whatever recentTask lists.
func (w *world) retire(task ref) {
	time.AfterFunc(tasksKept, func() {
		w.lock()
		defer w.unlock()
		simulator.Map.Remove(task)
	})
}

// finish ends the task, well or not.
func (op *operation) finish(result types.AnyType, fault vimFault) {
	now := time.Now()
	info := &op.task.Info
	info.CompleteTime = &now
	info.State = types.TaskInfoStateSuccess
	info.Result = result
	if fault != nil {
		info.State = types.TaskInfoStateError
		info.Error = &types.LocalizedMethodFault{Fault: fault, LocalizedMessage: message(fault)}
	} else {
		info.Progress = 100
	}
	delete(op.w.moves.cancels, op.task.Self)
	op.w.touch(op.task.Self)
	if info.Entity != nil && op.w.get(*info.Entity) != nil {
		op.w.touch(*info.Entity)
	}
}

// do runs a task: to its end within the call, or, if tasks are set to take time, later and on its own.
func (w *world) do(c *call, entity ref, method, description string, run func() (types.AnyType, vimFault)) ref {
	op := w.start(c, entity, method, description)
	end := func() {
		if fault := w.faults.inTask(c); fault != nil {
			op.finish(nil, fault)
		} else if w.get(entity) == nil {
			op.finish(nil, &types.ManagedObjectNotFound{Obj: entity})
		} else {
			op.finish(run())
		}
	}
	if w.settings.TaskSeconds <= 0 {
		end()
		return op.task.Self
	}
	time.AfterFunc(time.Duration(w.settings.TaskSeconds*float64(time.Second)), func() {
		w.lock()
		defer w.unlock()
		end()
	})
	return op.task.Self
}

// adopt makes a task of the simulator's look like ours.
func (w *world) adopt(c *call, r ref) {
	t, ok := w.get(r).(*simulator.Task)
	if !ok || t.Info.Entity == nil {
		return
	}
	t.Info.Name = c.method
	t.Info.EntityName = w.nameOf(*t.Info.Entity)
	t.Info.Reason = &types.TaskReasonUser{UserName: c.userName()}
	if t.Info.Error != nil {
		t.Info.Error.LocalizedMessage = message(t.Info.Error.Fault)
	}
	w.remember(*t.Info.Entity, r)
	w.touch(r, *t.Info.Entity)
}

func taskMethods(t *table) {
	on(t, "CancelTask", func(c *call, req *types.CancelTask) (*types.CancelTaskResponse, vimFault) {
		task, ok := c.w.get(c.this).(*simulator.Task)
		if !ok {
			return nil, &types.ManagedObjectNotFound{Obj: c.this}
		}
		op := c.w.moves.cancels[c.this]
		if op == nil || task.Info.Cancelled {
			return nil, &types.InvalidState{}
		}
		task.Info.Cancelled = true
		c.w.touch(c.this)
		close(op.cancel)
		return &types.CancelTaskResponse{}, nil
	})
}
